"""One persona's files and sessions, kept across any cut; knows nothing of what organs put there."""

from anima.persona.profile import PersonaFile
from anima.persona.session import SessionSummary, read_session, sessions
from anima.persona.store import Persona, personas

__all__ = ["Persona", "PersonaFile", "SessionSummary", "personas", "read_session", "sessions"]
