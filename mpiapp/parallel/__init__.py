"""The MPI job: the only user of mpi4py."""
