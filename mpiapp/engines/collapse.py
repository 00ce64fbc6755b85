"""The marginal density of the only source, its backgrounds integrated out, and where it lives."""

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from .kernels import approach_modes, exp, log, rise, slopes

_DROP = 24.0  # logarithm of the peak density over that at the ends of the range
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


@njit(**OPTIONS)
def reach_down(
    counts, mu, omega, begin, end, total, bound, drop, peak, lo, hi, slope, curvature, right, gain
):  # fmt: skip
    """Where the density of a background, given the sources of each lane, has fallen by e^drop.

    peak : (lanes,) guesses of the mode, moved near it; lo, hi : (lanes,), written, in [0, bound]
    slope, curvature, right, gain : (lanes,) scratch
    """
    for i in range(len(peak)):
        lo[i] = 0.0
        hi[i] = bound
    approach_modes(
        counts, mu, omega, begin, end, total, lo, hi, peak, slope, curvature, right, gain
    )
    # A parabola bounds the fall to the left since ψ''' > 0; to the right Newton steps end beyond
    # the point where the drop is reached.
    for i in range(len(peak)):
        root = np.sqrt(slope[i] * slope[i] + 2.0 * drop * curvature[i])
        lo[i] = max(0.0, peak[i] - 2.0 * drop / max(slope[i] + root, 1e-300))
        hi[i] = min(bound, peak[i] + 2.0 * drop / max(root - slope[i], 1e-300))
    for _ in range(2):
        rise(counts, mu, omega, begin, end, total, peak, hi, gain)
        slopes(counts, mu, omega, begin, end, total, hi, right)
        for i in range(len(peak)):
            if right[i] < 0.0:
                hi[i] = min(bound, hi[i] - (gain[i] + drop) / right[i])


@njit(**OPTIONS)
def collapse(p, s, start, out, powers):
    """Log marginal of s with its first and second derivatives, backgrounds integrated out.

    s : (lanes,); start : (n_backgrounds,) guesses of the background, overwritten
    by the conditional mode of the middle lane; out : (3, lanes) and powers : (2, n_backgrounds,
    lanes), written: the latter with the means of each background and of its square given s
    (of an obsid without counts, what they are at most).
    """
    counts, omega, offset, omega_sum = p.counts, p.omega, p.offset, p.omega_sum
    f, f_sum = p.f[:, 0], p.f_sum[0]
    lanes = len(s)
    nodes = len(_NODES)
    for i in range(lanes):
        out[0, i] = -f_sum * s[i]
        out[1, i] = -f_sum
        out[2, i] = 0.0
    mu = np.empty((len(counts), lanes))
    for r in range(len(counts)):
        for i in range(lanes):
            mu[r, i] = offset[r] + f[r] * s[i]
    if len(omega_sum) == 0:
        for r in range(len(counts)):
            for i in range(lanes):
                ratio = f[r] / mu[r, i]
                out[0, i] += counts[r] * log(mu[r, i])
                out[1, i] += counts[r] * ratio
                out[2, i] -= counts[r] * ratio * ratio
        return
    work = np.empty((7, lanes))
    lo, hi, peak, slope = work[0], work[1], work[2], work[3]
    curvature, right, gain = work[4], work[5], work[6]
    b = np.empty(nodes)
    height = np.empty(nodes)
    pull = np.empty(nodes)
    bend = np.empty(nodes)
    for k in range(len(omega_sum)):
        begin, end, bound = p.first[k], p.first[k + 1], p.upper[1 + k]
        # Without counts, or without background, this obsid says the same about every s.
        if begin == end:
            for i in range(lanes):
                powers[0, k, i] = 1.0 / omega_sum[k]
                powers[1, k, i] = 2.0 / (omega_sum[k] * omega_sum[k])
            continue
        for i in range(lanes):
            peak[i] = start[k]
        reach_down(
            counts, mu, omega, begin, end, omega_sum[k], bound, _DROP, peak, lo, hi,
            slope, curvature, right, gain,
        )  # fmt: skip
        start[k] = peak[lanes // 2]
        for i in range(lanes):
            half = 0.5 * (hi[i] - lo[i])
            base = -omega_sum[k] * peak[i]
            for j in range(nodes):
                b[j] = lo[i] + half * (1.0 + _NODES[j])
                height[j] = -omega_sum[k] * (b[j] - peak[i])
                pull[j] = 0.0
                bend[j] = 0.0
            for r in range(begin, end):
                at_peak = mu[r, i] + omega[r] * peak[i]
                base += counts[r] * log(at_peak)
                for j in range(nodes):
                    x = 1.0 / (mu[r, i] + omega[r] * b[j])
                    height[j] -= counts[r] * log(at_peak * x)
                    pull[j] += counts[r] * f[r] * x
                    bend[j] += counts[r] * (f[r] * x) * (f[r] * x)
            total = 0.0
            first_moment = 0.0
            second_moment = 0.0
            background = 0.0
            square = 0.0
            for j in range(nodes):
                weight = _WEIGHTS[j] * exp(min(height[j], 0.5))
                total += weight
                background += weight * b[j]
                square += weight * (b[j] * b[j])
                first_moment += weight * pull[j]
                second_moment += weight * (pull[j] * pull[j] - bend[j])
            mean = first_moment / total
            out[0, i] += base + log(total * half)
            out[1, i] += mean
            out[2, i] += second_moment / total - mean * mean
            powers[0, k, i] = background / total
            powers[1, k, i] = square / total


@njit(**OPTIONS)
def bracket(p, s, start):
    """(lo, hi, log density at the peak) of the marginal of s, searched from s.

    lo and hi are bounds of the prior or points where the density has fallen by e⁻²⁴ or more.
    """
    at = np.empty(1)
    out = np.empty((3, 1))
    powers = np.empty((2, len(p.omega_sum), 1))
    bound = p.upper[0]
    at[0] = s
    below, above = 0.0, bound
    for _ in range(100):
        collapse(p, at, start, out, powers)
        g, h = out[1, 0], max(-out[2, 0], 1e-300)
        edge = at[0] if g < 0.0 else bound - at[0]
        if g * g <= 0.01 * h or abs(g) * edge <= 0.01:
            break
        if g > 0.0:
            below = at[0]
            at[0] += min(g / h, (0.9 if above == bound else 0.5) * (above - at[0]))
        else:
            above = at[0]
            at[0] -= min(-g / h, (0.9 if below == 0.0 else 0.5) * (at[0] - below))
    peak, top = at[0], out[0, 0]
    root = np.sqrt(g * g + 2.0 * _DROP * h)
    ends = np.empty(2)
    for side in range(2):
        sign = 2.0 * side - 1.0
        room = bound - peak if side == 1 else peak
        x = min(2.0 * _DROP / max(root - sign * g, 1e-300), room)
        for _ in range(30):
            if x >= room:
                x = room
                # the density at a bound of the prior may be zero, so look just inside
                at[0] = peak + sign * room * (1.0 - 1e-9)
            else:
                at[0] = peak + sign * x
            collapse(p, at, start, out, powers)
            fall = top - out[0, 0]
            if (x >= room and fall <= _DROP) or (_DROP <= fall <= 1.3 * _DROP):
                break
            slope = sign * out[1, 0]
            if not slope < 0.0:
                x = min(2.0 * x, room)
                continue
            # From inside, a tangent leads beyond the drop; from beyond, closer to it.
            x = min(max(x + (_DROP * 1.1 - fall) / -slope, 0.3 * x), room)
        ends[side] = peak + sign * x
    return ends[0], ends[1], top
