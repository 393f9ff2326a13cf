"""`anima memory encrypt|decrypt|rekey`: what a memory is kept under; keeps no secret itself.

At start this module imports click and the errors, nothing else.
"""

from typing import TYPE_CHECKING, Any

import click

from anima.errors import UsageError
from anima.terminal.shell import memory_door as door

if TYPE_CHECKING:
    from anima.memory import Memory

_kdf = click.option(
    "--kdf",
    type=click.Choice(["scrypt", "argon2id"]),
    default="scrypt",
    help="What makes the key of a passphrase.",
)
_new_key_file = click.option(
    "--new-key-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Make a key file, and use it.",
)


@click.command("encrypt")
@_new_key_file
@_kdf
@door.common
def memory_encrypt(
    ctx: click.Context, new_key_file: str | None, kdf: Any, key_file: str | None
) -> None:
    """Encrypt what every line says, its vectors too; no anchor changes.

    The key comes from a passphrase, which is asked for twice or taken from
    ANIMA_MEMORY_PASSPHRASE, or from a key file: --new-key-file makes one, --key-file takes one that
    is there. Whoever loses it loses the memory. Conversations are kept in clear as before: anima sessions rm removes them.

    \b
    anima memory encrypt
    anima memory encrypt --new-key-file ~/anima.key
    """
    from anima.persona import session as session_files
    from anima.runtime.remembering import PASSPHRASE
    from anima.terminal.memory_reports import records

    with door.writing(ctx, key_file) as (screen, opened):
        if opened.memory.encrypted:
            raise UsageError("The memory is encrypted already: anima memory rekey changes its key.")
        secret = door.new_secret(new_key_file, key_file, PASSPHRASE)
        opened.memory.encrypt(secret, kdf=kdf)
        screen.note(
            f"Encrypted {records(opened.memory.count)} of the memory: what they say, and their "
            "vectors. Without the secret they are lost."
        )
        folder = opened.persona.folder
        kept = len(session_files.ids(folder))
        held = "none yet" if not kept else "1 of them" if kept == 1 else f"{kept} of them"
        screen.note(
            f"NOT encrypted: conversations ({held}), kept in clear in "
            f"{folder / session_files.SESSIONS}. anima sessions list shows them, anima sessions rm ID "
            "removes one for good."
        )


@click.command("decrypt")
@door.common
def memory_decrypt(ctx: click.Context, key_file: str | None) -> None:
    """Keep what every line says in clear again; no anchor changes."""
    from anima.terminal.memory_reports import records

    with door.writing(ctx, key_file) as (screen, opened):
        _require_encrypted(opened.memory)
        opened.memory.decrypt()
        screen.note(f"Decrypted {records(opened.memory.count)}.")


@click.command("rekey")
@_new_key_file
@click.option(
    "--to-key-file",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Use this key file from now on.",
)
@_kdf
@door.common
def memory_rekey(
    ctx: click.Context,
    new_key_file: str | None,
    to_key_file: str | None,
    kdf: Any,
    key_file: str | None,
) -> None:
    """Change the passphrase or key file; no anchor changes.

    The one so far is given as always; the new passphrase is asked for twice, or taken from
    ANIMA_MEMORY_NEW_PASSPHRASE.
    """
    from anima.terminal.memory_reports import records

    with door.writing(ctx, key_file) as (screen, opened):
        _require_encrypted(opened.memory)
        secret = door.new_secret(new_key_file, to_key_file, door.NEW_PASSPHRASE)
        opened.memory.encrypt(secret, kdf=kdf)
        screen.note(f"The new key holds for {records(opened.memory.count)}.")


def _require_encrypted(memory: "Memory") -> None:
    if not memory.encrypted:
        raise UsageError("The memory is not encrypted: anima memory encrypt does that.")


COMMANDS = (memory_encrypt, memory_decrypt, memory_rekey)
