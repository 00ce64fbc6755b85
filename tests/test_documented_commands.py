"""Every command that README and docs show exists and is called as they say.

The first run of README is really done, by test_example.py, with the compiled engine.
"""

import configparser
import re
import shlex
import shutil
from pathlib import Path

import pytest
from documents import PAGES, ROOT, blocks, code_spans, commands
from jobs import mpiapp, write_job

from mpiapp.cli import build_parser
from mpiapp.commands import COMMANDS
from mpiapp.config import Config, tomllib
from mpiapp.exit_code import ExitCode
from mpiapp.extract.field_file import FieldFile
from mpiapp.simulate import PRESETS

# Commands that a machine or a site brings, and what is made by hand before they are called.
SITE = {"module", ".", "srun", "python3.10"}
MADE = {"job.slurm", "job.pbs"}


def parser_of(name):
    (commands,) = (a for a in build_parser()._actions if a.dest == "command")
    assert name in commands.choices, f"mpiapp {name}: there is no such command"
    return commands.choices[name]


def check_mpiapp(words):
    if "--help" in words or "--version" in words:
        return
    try:
        args = build_parser().parse_args(words[: words.index(">")] if ">" in words else words)
    except SystemExit:
        pytest.fail(f"mpiapp {' '.join(words)}: not a call that mpiapp takes")
    for word in words:
        if word.startswith(("config/", "jobscripts/", "tests/")):
            assert (ROOT / word).exists(), f"{word}: there is no such file"
    if words[0] == "simulate":
        assert args.preset in PRESETS


def check_make(words):
    makefile = (ROOT / "Makefile").read_text()
    for target in (w for w in words if "=" not in w):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}: no such target"


def check_pip(words):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for word in words:
        if "/" in word and word.endswith(".txt"):
            assert (ROOT / word).exists(), f"{word}: there is no such file"
        if extras := re.fullmatch(r"(?:\.|mpiapp)\[(.*)\]", word):
            missing = set(extras[1].split(",")) - set(setup["options.extras_require"])
            assert not missing, f"{word}: there is no extra {missing}"


def check(words):
    words = list(words)
    if words[:2] == ["mpiexec", "-n"] and words[3] == "mpiapp":
        words = words[3:]
    if words[0] in ("mpiexec", "srun"):
        words = words[next(i for i, w in enumerate(words) if w.startswith("python")) :]
    if words[0].startswith("python"):
        if words[1:3] == ["-m", "mpiapp"]:
            return check_mpiapp(words[3:])
        if words[1] in ("-c", "-m"):
            return None
        assert (ROOT / words[1]).exists(), f"{words[1]}: there is no such file"
    elif words[0] == "mpiapp":
        check_mpiapp(words[1:])
    elif words[0] == "make":
        check_make(words[1:])
    elif words[0] == "pip":
        check_pip(words[1:])
    elif words[0] in ("sbatch", "qsub"):
        script = words[-1]
        assert script in MADE or (ROOT / script).exists(), f"{script}: there is no such file"
    else:
        assert words[0] in SITE, f"{words[0]}: say here how this command is checked"
    return None


SHOWN = [(b.where, words) for b in blocks("shell") + blocks("bash") for words in commands(b)]


@pytest.mark.parametrize(("where", "words"), SHOWN, ids=[f"{w}:{' '.join(c)}" for w, c in SHOWN])
def test_a_shown_command_can_be_called(where, words):
    check(words)


HELP = [(name, line) for name, command in COMMANDS.items() for line in command.EXAMPLES]


@pytest.mark.parametrize(("name", "line"), HELP, ids=[line for _, line in HELP])
def test_an_example_of_the_help_can_be_called(name, line):
    words = shlex.split(line, comments=True)
    assert words[words.index("mpiapp") + 1] == name
    check(words)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_shows_the_examples(name, capsys):
    with pytest.raises(SystemExit) as left:
        build_parser().parse_args([name, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out.splitlines()
    assert set(COMMANDS[name].EXAMPLES) <= {line.strip() for line in shown}


def test_help_names_exit_codes_and_presets():
    shown = " ".join(build_parser().format_help().split())
    for code in ExitCode:
        assert f"{code.value} {code.description}" in shown
    shown = " ".join(parser_of("simulate").format_help().split())
    named = set(re.findall(r"\w+", shown[shown.index("kind of sky") :]))
    assert named >= {name for name in PRESETS if not name.startswith("sample")}
    assert {f"sample{i}" for i in range(1, 11)} <= set(PRESETS)


def test_commands_named_in_the_text_exist_with_their_options():
    for page, span in code_spans():
        words = span.split()
        if words[0] != "mpiapp" or len(words) < 2 or not words[1].isalpha():
            continue
        options = parser_of(words[1])._option_string_actions
        for word in words[2:]:
            if word.startswith("--"):
                assert word in options, f"{page}: `{span}`: there is no option {word}"


def test_files_named_in_the_text_exist():
    rooms = ("config/", "docs/", "jobscripts/", "mpiapp/", "tests/")
    for page, span in code_spans():
        if span.startswith(rooms) and re.fullmatch(r"[\w./-]+", span):
            made = span.startswith("docs/_build")
            assert made or (ROOT / span).exists(), f"{page}: `{span}`: there is no such file"


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([\w./-]+\.(?:md|png))[)#]", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}: there is no such page"


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda b: b.where)
def test_a_shown_configuration_is_one(block):
    config = tomllib.loads(block.text)
    if "observation" in config:
        FieldFile.model_validate(config)
        return
    Config.model_validate(
        {"input": [{"prep3": "prep3"}], "output": {"results": "results.h5"}} | config
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished job and the names that the snippets and comparisons of the docs use for it."""
    folder = tmp_path_factory.mktemp("docs")
    assert mpiapp("run", write_job(folder, "gibbs")).returncode == 0
    for name in ("out/example/results.h5", "new.h5", "old.h5"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "results.h5", folder / name)
    shutil.copy(folder / "prep3" / "S_100_prep3.fits", folder)
    shutil.rmtree(folder / "prep3")
    (folder / "prep3").mkdir()
    return folder


# Those of the tutorials are run in their order, by test_tutorials.py.
PLAIN = [page for page in PAGES if page.parent.name != "tutorials"]
SNIPPETS = [b for b in blocks("python", PLAIN) if "arviz" not in b.text]


@pytest.mark.parametrize("block", SNIPPETS, ids=lambda b: b.where)
def test_a_shown_snippet_runs(block, folder, monkeypatch):
    monkeypatch.chdir(folder)
    exec(compile(block.text, block.where, "exec"), {})


def test_the_comparison_is_made_as_shown(folder):
    (shown,) = (
        c for w, c in SHOWN if w.startswith("compare.md") and c[1] == "compare" and "--by" in c
    )
    pytest.importorskip("matplotlib")
    done = mpiapp(*shown[1:], cwd=folder)
    assert done.returncode == 0, done.stderr
    written = (Path(folder) / name for name in ("table3.tex", "table3.ecsv", "figs"))
    assert all(path.exists() for path in written)
