"""A line of output: seconds of ours beside a peer's, and how many times the peer takes ours."""

import numpy as np


def line(name: str, ours: np.ndarray, peer: np.ndarray, peer_name: str) -> dict:
    """One entry a round; the ratio's range holds 95 % of the rounds."""
    ratio = peer / ours
    low, high = (float(q) for q in np.quantile(ratio, (0.025, 0.975)))
    a, b, median = (float(np.median(values)) for values in (ours, peer, ratio))
    print(
        f"  {name:40} {a:8.3f}   {b:9.3f} ({peer_name})   "
        f"ratio {median:.3g} ({low:.3g} to {high:.3g})"
    )
    return {
        "name": name,
        "ours": a,
        "peer": b,
        "peer_name": peer_name,
        "ratio": median,
        "low": low,
        "high": high,
    }
