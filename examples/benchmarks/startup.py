"""How long a command takes to answer when it computes nothing, against an empty Python and against importing torch.

    python examples/benchmarks/startup.py

Fresh processes, in turns. Completion is asked for as bash does through typer, by environment variables.
"""

import argparse
import os
import subprocess
import sys

from measure import in_turns, machine, spread, table

FEWGAN = [sys.executable, "-c", "from fewgan.cli.commands import main; main()"]  # what the installed `fewgan` does
COMPLETE = {"_FEWGAN_COMPLETE": "complete_bash", "COMP_WORDS": "fewgan train --aug ", "COMP_CWORD": "3"}
COMMANDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "`python -c pass`": ([sys.executable, "-c", "pass"], {}),
    "`fewgan --help`": ([*FEWGAN, "--help"], {}),
    "`fewgan train --help`": ([*FEWGAN, "train", "--help"], {}),
    "`fewgan plugins`": ([*FEWGAN, "plugins"], {}),
    "completing `fewgan train --aug `": (FEWGAN, COMPLETE),
    '`python -c "import torch"`': ([sys.executable, "-c", "import torch"], {}),
}


def run(command: list[str], more: dict[str, str]) -> None:
    # Compiled files as after an installation: the turns that are not counted write those that are missing.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, check=False)
    if done.returncode or (more and "diffaugment" not in done.stdout):
        raise SystemExit(f"{command}: {done.stdout}{done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="counted turns, after 1 that is not")
    options = parser.parse_args()
    calls = {name: lambda words=words: run(*words) for name, words in COMMANDS.items()}
    seconds = in_turns(calls, options.rounds)
    print(machine(**{"counted turns": options.rounds}))
    print(f"\n{table(('command', 'seconds'), [[name, spread(values)] for name, values in seconds.items()])}")


if __name__ == "__main__":
    main()
