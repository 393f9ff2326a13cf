"""A disk that forgets: what a traced program did to its files, replayed up to any instant.

`trace` runs a program under strace and reads every call that changes a file. `Disk` replays them and
tells what would lie there after a loss of power: what was synced, plus nothing, all or any part of
what was not. A name is durable when its folder or its own file was synced, a rename and a removal
when the folder was.
"""

import os
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

CALLS = (
    "openat,close,dup,write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,fallocate,lseek,"
    "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat"
)
Unsynced = Literal["nothing", "everything", "a part"]

_CALL = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Effect:
    """One thing that happened: `data` is what was written, the new name, or what was printed."""

    kind: str
    path: str = ""
    at: int = 0
    data: bytes = b""


def trace(
    command: Sequence[str], folder: Path, log: Path, environment: dict[str, str]
) -> list[Effect]:
    """Everything that a program does to files in `folder` and prints, in its order."""
    subprocess.run(
        ["strace", "-f", "-qq", "-xx", "-s", "9999999", "-e", f"trace={CALLS}", "-e", "signal=none",
         "-o", str(log), *command],
        check=True, stdout=subprocess.PIPE, env=environment,
    )  # fmt: skip
    return list(_effects(_joined(log.read_text(encoding="ascii").splitlines()), str(folder)))


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """The calls whole, where another thread came between the beginning and the end of one."""
    begun: dict[str, str] = {}
    for line in lines:
        if line.endswith("<unfinished ...>"):
            begun[line.split()[0]] = line.removesuffix("<unfinished ...>").rstrip()
            continue
        resumed = _RESUMED.match(line)
        yield line if resumed is None else begun.pop(resumed[1]) + resumed[3].lstrip()


@dataclass
class _Descriptor:
    path: str
    offset: int = 0
    durable: bool = False
    append: bool = False


def _effects(lines: Iterator[str], folder: str) -> Iterator[Effect]:
    open_files: dict[int, _Descriptor] = {}
    sizes: dict[str, int] = {}
    for line in lines:
        match = _CALL.match(line)
        if match is None or int(match[4]) < 0:
            continue
        call, arguments, result = match[2], match[3], int(match[4])
        names = [bytes.fromhex(each.replace("\\x", "")) for each in _STRING.findall(arguments)]
        if call == "openat":
            yield from _opening(open_files, sizes, names[0].decode(), arguments, result, folder)
            continue
        if call in ("rename", "renameat", "renameat2"):
            old, new = names[0].decode(), names[1].decode()
            if old.startswith(folder):
                sizes[new] = sizes.pop(old, 0)
                yield Effect("rename", old, data=new.encode())
            continue
        if call in ("unlink", "unlinkat"):
            name = names[0].decode()
            if name.startswith(folder):
                sizes.pop(name, None)
                yield Effect("remove", name)
            continue
        if call in ("mkdir", "mkdirat"):
            continue
        number = int(arguments.split(",")[0].rstrip(")"))
        if number == 1 and call == "write":
            yield Effect("print", data=names[0])
        elif number in open_files:
            yield from _on_file(open_files, sizes, number, call, arguments, names, result)


def _opening(
    open_files: dict[int, _Descriptor],
    sizes: dict[str, int],
    name: str,
    arguments: str,
    number: int,
    folder: str,
) -> Iterator[Effect]:
    open_files.pop(number, None)
    if not name.startswith(folder) or name.endswith(".lock"):
        return
    durable = "O_DSYNC" in arguments or "O_SYNC" in arguments
    open_files[number] = _Descriptor(name, durable=durable, append="O_APPEND" in arguments)
    if "O_DIRECTORY" in arguments or os.path.isdir(name):
        return
    if "O_CREAT" in arguments and name not in sizes:
        sizes[name] = 0
        yield Effect("make", name)
    if "O_TRUNC" in arguments:
        sizes[name] = 0
        yield Effect("truncate", name, at=0)


def _on_file(
    open_files: dict[int, _Descriptor],
    sizes: dict[str, int],
    number: int,
    call: str,
    arguments: str,
    names: list[bytes],
    result: int,
) -> Iterator[Effect]:
    file = open_files[number]
    if call == "close":
        del open_files[number]
    elif call == "dup":
        open_files[result] = file
    elif call in ("fsync", "fdatasync"):
        yield Effect("sync", file.path)
    elif call == "ftruncate":
        length = int(arguments.split(",")[1])
        sizes[file.path] = length
        yield Effect("truncate", file.path, at=length)
    elif call == "lseek":
        file.offset = result
    elif call == "fallocate":
        *_, start, length = (int(each) for each in re.findall(r"\d+", arguments))
        yield Effect("grow", file.path, at=start + length)
    else:
        data = b"".join(names)[:result]
        at = file.offset
        if call.startswith("pwrite"):
            at = int(arguments.rsplit(",", 1)[1])
        elif file.append:
            at = sizes.get(file.path, 0)
        if not call.startswith("pwrite"):
            file.offset = at + len(data)
        sizes[file.path] = max(sizes.get(file.path, 0), at + len(data))
        yield Effect("write", file.path, at, data)
        if file.durable:
            yield Effect("sync", file.path)


@dataclass
class _File:
    synced: bytes = b""
    pending: list[Effect] = field(default_factory=list)


@dataclass
class Disk:
    """The files after some effects: `names` as any program sees them, `durable` as a power cut would."""

    names: dict[str, _File] = field(default_factory=dict)
    durable: dict[str, _File] = field(default_factory=dict)
    printed: bytes = b""

    def do(self, effect: Effect) -> None:
        if effect.kind == "print":
            self.printed += effect.data
        elif effect.kind == "make":
            self.names[effect.path] = _File()
        elif effect.kind == "rename":
            self.names[effect.data.decode()] = self.names.pop(effect.path)
        elif effect.kind == "remove":
            self.names.pop(effect.path, None)
        elif effect.kind == "sync":
            self._sync(effect.path)
        else:
            self.names[effect.path].pending.append(effect)

    def _sync(self, path: str) -> None:
        file = self.names.get(path)
        if file is not None:
            file.synced = applied(file.synced, file.pending)
            file.pending = []
            self.durable[path] = file
            return
        inside = {name for name in {*self.names, *self.durable} if os.path.dirname(name) == path}
        for name in inside:
            if name in self.names:
                self.durable[name] = self.names[name]
            else:
                del self.durable[name]

    def after(self, unsynced: Unsynced, chance: random.Random) -> dict[str, bytes]:
        """The content of each file that lies there when the power is back."""
        if unsynced == "everything":
            return {name: applied(file.synced, file.pending) for name, file in self.names.items()}
        names = self.durable
        if unsynced == "a part" and chance.random() < 0.5:
            names = self.names
        return {
            name: applied(file.synced, [] if unsynced == "nothing" else part(file.pending, chance))
            for name, file in names.items()
        }


def part(effects: Sequence[Effect], chance: random.Random) -> list[Effect]:
    """Any of the effects, out of which one write may have got through in part only."""
    kept = [effect for effect in effects if chance.random() < 0.5]
    if kept and kept[-1].kind == "write":
        last = kept[-1]
        kept[-1] = Effect(
            "write", last.path, last.at, last.data[: chance.randrange(len(last.data) + 1)]
        )
    return kept


def applied(content: bytes, effects: Sequence[Effect]) -> bytes:
    grown = bytearray(content)
    for effect in effects:
        end = effect.at + (len(effect.data) if effect.kind == "write" else 0)
        if len(grown) < end:
            grown.extend(bytes(end - len(grown)))
        if effect.kind == "write":
            grown[effect.at : end] = effect.data
        elif effect.kind == "truncate":
            del grown[effect.at :]
    return bytes(grown)
