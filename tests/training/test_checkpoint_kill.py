import json
import subprocess
import sys

# Imports once, and forks each run of `fit`, which dies by a real SIGKILL: half of the time at
# random, half while a checkpoint is being written.
SCRIPT = """
import json, os, random, signal, sys, time
import torch
from torch_imf import AdaMF, Adversary, fit
from torch_imf.data import modalities
from torch_imf.datasets import FakeMMKG

torch.set_num_threads(1)
data = FakeMMKG()[0]
folder, epochs, kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def run(name, seed, epochs=epochs):
    torch.manual_seed(seed)
    sizes = (data.num_nodes, data.num_relations, 8)
    model = AdaMF(*sizes, *modalities(data), adversary=Adversary(0.1))
    settings = {"batch_size": 128, "lr": {"model": 0.01, "generator": 0.001}, "patience": None}
    path = os.path.join(folder, f"{name}.pt")
    history = fit(model, data, epochs, checkpoint=path, **settings)
    state = {key: x.tolist() for key, x in model.state_dict().items()}
    with open(os.path.join(folder, f"{name}.json"), "w") as file:
        json.dump([history, state], file)

def fork(*args):
    pid = os.fork()
    if pid == 0:
        try:
            run(*args)
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
    return pid

def writing():
    return {name for name in os.listdir(folder) if name.startswith(".killed.pt-")}

def epoch():
    path = os.path.join(folder, "killed.pt")
    return torch.load(path, weights_only=True)["epoch"] if os.path.exists(path) else 0

start = time.monotonic()
assert os.waitpid(fork("whole", 1), 0)[1] == 0
duration = time.monotonic() - start

# Another seed per run, as in a new process, until there is a checkpoint to go on from:
random.seed(0)
deaths, seed = [], 1
while True:
    before = writing()
    pid = fork("killed", seed)
    if len(deaths) < kills or not any(in_write for _, in_write in deaths):
        if len(deaths) % 2 == 0:
            time.sleep(random.uniform(duration / 20, duration / 4))
        else:
            end = time.monotonic() + duration
            while writing() <= before and time.monotonic() < end:
                pass
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if status == 0:
        break
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    deaths.append([epoch(), not writing() <= before])
    seed = seed if epoch() == 0 else seed + 1
print(json.dumps(deaths))
"""


def test_resume_after_kills_at_any_moment(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), "14", "5"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    deaths = json.loads(result.stdout)
    assert any(in_write for _, in_write in deaths), deaths  # A half-written file is left behind.
    assert 0 < max(epoch for epoch, _ in deaths) < 14, deaths  # It went on in between.
    names = {path.name for path in tmp_path.iterdir() if path.suffix in {".pt", ".json", ".tmp"}}
    assert names == {"whole.pt", "whole.json", "killed.pt", "killed.json"}  # It has been cleared.
    whole, killed = (json.loads((tmp_path / f"{x}.json").read_text()) for x in ("whole", "killed"))
    assert killed == whole  # Bit for bit, as JSON keeps all digits of a number.
