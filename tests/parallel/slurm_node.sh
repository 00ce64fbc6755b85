#!/usr/bin/env bash
# Start a SLURM of one node on this machine, for tests: slurm_node.sh start|stop FOLDER
# Needs root and Debian's slurm-wlm and munge.  SLURM_CONF=FOLDER/slurm.conf finds it.
set -euo pipefail
action=$1 folder=$2

if [ "$action" = stop ]; then
    for daemon in slurmctld slurmd munged; do
        if [ -f "$folder/$daemon.pid" ]; then
            kill "$(cat "$folder/$daemon.pid")" 2>/dev/null || true
        fi
    done
    exit
fi

mkdir -p "$folder"/{state,spool}
chmod 755 "$folder"
host=$(hostname -s)
# A munge of its own: the socket and the key lie in the folder.
dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none
chmod 400 "$folder/munge.key"
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
# MPICH names its shared memory after the job: a number that a killed job had would find the old one.
cat >"$folder/slurm.conf" <<CONF
ClusterName=test
FirstJobId=$(($(date +%s) % 60000000 + 1))
SlurmctldHost=$host
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort=${SLURM_TEST_PORT:-46817}
SlurmdPort=$((${SLURM_TEST_PORT:-46817} + 1))
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=10
JobRequeue=1
NodeName=$host CPUs=8 RealMemory=16000 State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
CONF
export SLURM_CONF=$folder/slurm.conf
slurmctld
slurmd
for _ in $(seq 60); do
    state=$(sinfo --noheader --format=%t 2>/dev/null || true)
    case $state in idle | mix | alloc) exit 0 ;; esac
    sleep 0.5
done
echo "SLURM did not start; the logs are in $folder" >&2
tail -n 20 "$folder"/*.log >&2
exit 1
