"""Signatures as BOINC has them: RSA of 1024 bits over the checksum of a file. For tests only: it is weak."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass

BYTES = 128
EXPONENT = 65537
ROUNDS = 20


@dataclass(frozen=True)
class SigningKey:
    """``modulus`` is public, ``private`` its exponent."""

    modulus: int
    private: int

    @staticmethod
    def make() -> SigningKey:
        """A new key."""
        first, second = _prime(4 * BYTES), _prime(4 * BYTES)
        return SigningKey(first * second, pow(EXPONENT, -1, math.lcm(first - 1, second - 1)))

    @property
    def public(self) -> str:
        """As a project tells it: its bits, then modulus and exponent in hex."""
        numbers = self.modulus.to_bytes(BYTES, "big") + EXPONENT.to_bytes(BYTES, "big")
        return f"{8 * BYTES}\n{_in_lines(numbers)}"

    def sign(self, checksum: str) -> str:
        """The signature of a file with this MD5 checksum (in hex), in hex."""
        padded = b"\x00\x01" + b"\xff" * (BYTES - 3 - len(checksum)) + b"\x00" + checksum.encode()
        return _in_lines(pow(int.from_bytes(padded, "big"), self.private, self.modulus).to_bytes(BYTES, "big"))


def _in_lines(data: bytes) -> str:
    lines = [data[at : at + 32].hex() for at in range(0, len(data), 32)]
    return "\n".join((*lines, ".", ""))


def _prime(bits: int) -> int:
    while True:
        tried = secrets.randbits(bits) | 3 << (bits - 2) | 1
        if math.gcd(tried - 1, EXPONENT) == 1 and _is_prime(tried):
            return tried


def _is_prime(number: int) -> bool:
    """Surely composite, or prime but for a chance of 4 to the minus ROUNDS (Miller and Rabin)."""
    if any(number % small == 0 for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(ROUNDS):
        power = pow(secrets.randbelow(number - 3) + 2, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True
