"""What an API server's refusal means: try again, or never. One table."""

from __future__ import annotations

from dataclasses import dataclass

from federator.ports import OrderRefused

AGAIN_S = 2.0
QUOTA_AGAIN_S = 15.0


class ApiError(Exception):
    """The server answered with an error. ``reason`` and ``message`` are the Status object's."""

    def __init__(self, status: int, reason: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Meaning:
    """How a refusal is reported."""

    reason: str
    permanent: bool
    retry_after_s: float = AGAIN_S


# (status, or 0 for any; a piece of the message in lower case; the meaning). The first that fits holds.
TABLE: tuple[tuple[int, str, Meaning], ...] = (
    # The quota controller says 403 as well, but room comes back when work ends.
    (403, "exceeded quota", Meaning("QuotaExceeded", False, QUOTA_AGAIN_S)),
    (403, "being terminated", Meaning("NamespaceTerminating", False, QUOTA_AGAIN_S)),
    (403, "violates podsecurity", Meaning("AdmissionDenied", True)),
    (0, "failed calling webhook", Meaning("AdmissionUnavailable", False)),
    (0, "denied the request", Meaning("AdmissionDenied", True)),
    (403, "cannot ", Meaning("Forbidden", True)),
    (403, "", Meaning("AdmissionDenied", True)),
    (400, "", Meaning("Invalid", True)),
    (422, "", Meaning("Invalid", True)),
    (413, "", Meaning("TooLarge", True)),
    (404, "", Meaning("NotFound", True)),
    (405, "", Meaning("NotFound", True)),
    (409, "", Meaning("Conflict", False)),
    (429, "", Meaning("TooManyRequests", False)),
    (415, "", Meaning("Unsupported", True)),
)
UNKNOWN = Meaning("ServerError", False)


def meaning_of(error: ApiError) -> Meaning:
    """What the error says about sending the same order again."""
    text = error.message.lower()
    for status, piece, meaning in TABLE:
        if status in (0, error.status) and piece in text:
            return meaning
    return UNKNOWN


def refusal(error: ApiError) -> OrderRefused:
    """The error as the port knows it."""
    meaning = meaning_of(error)
    wait_s = meaning.retry_after_s if error.retry_after_s is None else error.retry_after_s
    return OrderRefused(meaning.reason, error.message, permanent=meaning.permanent, retry_after_s=wait_s)
