"""Addresses as others may see them."""

import re


def public(text: str) -> str:
    """``text`` without the user's name and password of any address in it."""
    return re.sub(r"//[^/@\s]*@", "//", text)
