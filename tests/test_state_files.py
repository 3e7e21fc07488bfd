import os
import pickle
import random
import re
import resource
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from bundle.errors import DataError
from bundle.handlers.weights import load_matching
from bundle.state_files import LARGEST_WEIGHT, MAX_STRUCTURE, first_spoilt, read_state, state_sha256, write_state
from tests.loop_disk import loop_disk, need_loop_disks

ROOT = Path(__file__).resolve().parents[1]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def saved(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def rewritten(source: Path, target: Path, compression: int = zipfile.ZIP_STORED, **contents: bytes) -> Path:
    """Copy a checkpoint, some of its entries replaced by their last name."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, contents.get(Path(entry.filename).stem, old.read(entry)))
    return target


STRANGE = {
    "sparse": lambda: torch.eye(2).to_sparse(),
    "csr": lambda: torch.eye(2).to_sparse_csr(),
    "complex": lambda: torch.ones(2, 2, dtype=torch.complex64),
    "conjugate": lambda: torch.ones(2, 2, dtype=torch.complex64).conj(),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8),
    "meta": lambda: torch.ones(2, 2, device="meta"),
    "float8": lambda: torch.ones(2, 2).to(torch.float8_e4m3fn),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(1)]),
    "expanded": lambda: torch.ones(1).expand(2, 2),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_tensor_of_another_kind_is_named_in_one_line(tmp_path, kind):
    path = saved(tmp_path / "w.pt", {"weight": STRANGE[kind]()})
    with pytest.raises(ValueError, match="expected plain dense tensors of real numbers; name a file") as error:
        read_state(path)
    assert str(error.value).startswith(f"{path}: holds ") and "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_integers_are_no_weights(tmp_path, dtype):
    state = read_state(saved(tmp_path / "w.pt", {"weight": torch.ones(2, 2, dtype=dtype), "bias": torch.ones(2)}))
    with pytest.raises(ValueError, match=rf"1 of another type, such as weight \({dtype}, not torch.float32\)"):
        load_matching(nn.Linear(2, 2), state, "w.pt")


def test_the_form_before_torch_1_6_is_read_and_judged_too(tmp_path):
    old = {"_use_new_zipfile_serialization": False}
    torch.save({"weight": torch.ones(2, 2), "bias": torch.ones(2)}, tmp_path / "w.pt", **old)
    load_matching(nn.Linear(2, 2), read_state(tmp_path / "w.pt"), "w.pt")
    torch.save({"weight": torch.eye(2).to_sparse()}, tmp_path / "w.pt", **old)
    with pytest.raises(ValueError, match="expected plain dense tensors"):
        read_state(tmp_path / "w.pt")


def test_other_precisions_and_parameters_are_weights(tmp_path):
    network, values = nn.Linear(2, 2), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    for weight in (values.half(), values.bfloat16(), values.double(), nn.Parameter(values)):
        path = saved(tmp_path / "w.pt", {"weight": weight, "bias": torch.ones(2)})
        load_matching(network, read_state(path), "w.pt")
        assert torch.equal(network.weight, values)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -2e8])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    network = nn.Linear(2, 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    path = saved(tmp_path / "w.pt", {"weight": torch.ones(2, 2), "bias": torch.tensor([1.0, value])})
    with pytest.raises(
        ValueError, match=rf"w.pt: bias holds {re.escape(f'{value:g}')}: .* of a training that diverged"
    ):
        load_matching(network, read_state(path), str(path))
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)


def test_names_of_a_file_do_not_break_the_line(tmp_path):
    path = saved(tmp_path / "w.pt", {"a\nb\x1b[2J" + "c" * 9000: torch.ones(2)})
    with pytest.raises(ValueError, match=r"1 unknown, such as a\?b\?\[2Jc") as error:
        load_matching(nn.Linear(2, 2), read_state(path), str(path))
    assert len(str(error.value)) < 600


def test_damaged_metadata_of_a_state_dict_is_left_out(tmp_path):
    network = nn.Linear(2, 2)
    state = network.state_dict()
    state._metadata = 5
    load_matching(network, read_state(saved(tmp_path / "w.pt", state)), "w.pt")


class Bomb:
    """Unpickled it is n zeros, for a few bytes of file."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __reduce__(self):
        return bytearray, (self.n,)


def peak(path: Path) -> int:
    """MiB that reading the file takes at most, in a process of its own; it must end with ValueError."""
    code = (
        "import resource, sys; from pathlib import Path; from bundle.state_files import read_state\n"
        "top = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = top()\n"
        "try: read_state(Path(sys.argv[1]))\n"
        "except ValueError: print((top() - before) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
def test_bombs_take_no_memory(tmp_path):
    plain = saved(tmp_path / "plain.pt", {"w": torch.zeros(100_000_000)})
    squeezed = rewritten(plain, tmp_path / "squeezed.pt", zipfile.ZIP_DEFLATED)
    plain.unlink()
    assert squeezed.stat().st_size < 10**6
    call = rewritten(
        saved(tmp_path / "small.pt", {"w": torch.zeros(1)}),
        tmp_path / "call.pt",
        data=pickle.dumps({"w": Bomb(400_000_000)}, protocol=2),
    )
    assert call.stat().st_size < 10**4
    bare = tmp_path / "bare.pt"
    bare.write_bytes(pickle.dumps({"w": Bomb(400_000_000)}, protocol=2))
    for path in (squeezed, call, bare):
        assert peak(path) < 100


def test_much_structure_and_deep_nesting_are_refused(tmp_path):
    small = saved(tmp_path / "small.pt", {"w": torch.zeros(1)})
    many = rewritten(small, tmp_path / "many.pt", data=b"\x80\x02]" + b"]a" * (MAX_STRUCTURE // 2) + b".")
    deep = rewritten(small, tmp_path / "deep.pt", data=b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".")
    for path in (many, deep):
        with pytest.raises(ValueError, match="no checkpoint that torch can read"):
            read_state(path)


def test_a_container_that_holds_itself_is_read(tmp_path):
    state: dict = {"w": torch.zeros(1)}
    state["self"] = [state]
    assert first_spoilt(read_state(saved(tmp_path / "w.pt", state))) is None


def test_spoilt_is_what_is_not_finite_anywhere(tmp_path):
    state = {
        "a": [torch.ones(3), {"b": (1, torch.tensor([0.0, float("nan")]))}],
        "n": 3,
        "t": "text",
        "e": torch.ones(0),
    }
    assert first_spoilt(state) == "a.1.b.1 holds nan"
    assert first_spoilt({"lr": float("inf")}) == "lr is inf"
    assert first_spoilt({"step": torch.tensor(2**62)}) is None
    big = {"w": torch.tensor([-2 * LARGEST_WEIGHT])}
    assert first_spoilt(big) is None and first_spoilt(big, LARGEST_WEIGHT) == "w holds -2e+08"


def test_what_is_spoilt_is_not_written(tmp_path):
    path = tmp_path / "w.pt"
    write_state({"w": torch.ones(1)}, path)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"w.pt: not written, for w holds -inf; the file there stays as it was"):
        write_state({"w": torch.tensor([-float("inf")])}, path)
    assert path.read_bytes() == before and names(tmp_path) == ["w.pt"]


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 1 MiB."""
    need_loop_disks(tmp_path)
    with loop_disk(tmp_path / "disk.img", tmp_path / "disk", mebibytes=1) as folder:
        yield folder


def test_full_disk_is_one_line_and_leaves_the_old_file(small_disk):
    path = small_disk / "w.pt"
    write_state({"w": torch.ones(1000)}, path)
    before = path.read_bytes()
    for size in (10**6, 150_000):  # the last ends within the disk's buffers
        with pytest.raises(DataError) as error:
            write_state({"w": torch.ones(size), "x": torch.ones(size)}, path, again="with --resume True")
        assert str(error.value) == (
            f"{path}: cannot be written (No space left on device); free some space and run it again with --resume True"
        )
    assert path.read_bytes() == before
    assert names(small_disk) == ["lost+found", "w.pt"]


@pytest.mark.parametrize("limit", [1, 700, 5000, 100_000])
def test_file_that_may_not_grow_is_one_line(tmp_path, limit):
    path = tmp_path / "w.pt"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(DataError, match="cannot be written"):
            write_state({"w": torch.ones(50_000), "x": torch.ones(10)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old" and names(tmp_path) == ["w.pt"]


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file: cannot be written"):
        write_state({"w": torch.ones(1)}, tmp_path / "file" / "w.pt")


def mutated(random: random.Random, content: bytes) -> bytes:
    """Bytes flipped, cut out, doubled or cut off; half of the time near the pickle, at the beginning."""
    data = bytearray(content)
    for _ in range(random.randint(1, 6)):
        end = len(data) if random.random() < 0.5 else min(len(data), 700)
        at = random.randrange(end)
        kind = random.randrange(4)
        if kind == 0:
            data[at] = random.randrange(256)
        elif kind == 1:
            del data[at : at + random.randint(1, 8)]
        elif kind == 2:
            data[at:at] = data[at : at + random.randint(1, 8)]
        else:
            data[at] ^= 1 << random.randrange(8)
    return bytes(data)


def test_mutated_checkpoints_are_read_or_refused_in_one_line(tmp_path):
    network, path = nn.Linear(3, 2), tmp_path / "w.pt"
    torch.save(network.state_dict(), path)
    good, random_ = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(int(os.environ.get("MUTATIONS", "500"))):
        path.write_bytes(mutated(random_, good))
        try:
            load_matching(network, read_state(path), str(path))
        except ValueError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "\n" not in str(error), error
        assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    assert refused > 100


def test_fingerprint_is_of_names_values_and_nothing_else() -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    assert state_sha256(one.state_dict()) != state_sha256(other.state_dict())
    other.load_state_dict(one.state_dict())
    assert state_sha256(one.state_dict()) == state_sha256(other.state_dict())
    assert state_sha256(nn.Sequential(one).state_dict()) != state_sha256(one.state_dict())
