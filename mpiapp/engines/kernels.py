"""Compiled primitives: random lanes, vector logarithms and exact draws along lines.

Along a line θ + t·d the log-posterior of C ~ Poisson(F·θ + offset) under
uniform priors is

    ψ(t) = Σ_r C_r log(μ_r + t v_r) − t V,     lo ≤ t ≤ hi,

with v = F·d and V = Σ v over all rows, those without counts too.  ψ is concave,
so two tangents make a hat for rejection sampling (Gilks & Wild 1992, Appl.
Statist. 41, 337): the draws are exact.

Everything works on many lines at once, the lanes.  They share counts and v and
differ in μ, so each loop over lanes becomes vector instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from ..compiled import OPTIONS

TINY = 1e-300
_LN2_HI = 6.93147180369123816490e-01
_LN2_LO = 1.90821492927058770002e-10
_SQRT_HALF_BITS = np.int64(0x3FE6A09E00000000)
_ONE_BITS = np.int64(0x3FF0000000000000)
_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)


@intrinsic
def _bits(typingctx, x):
    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(types.int64))

    return types.int64(types.float64), codegen


@intrinsic
def _from_bits(typingctx, x):
    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return types.float64(types.int64), codegen


@njit(**OPTIONS)
def round_to_40_bits(x):
    """x with a mantissa of 40 bits, so that numbers that differ by rounding alone are equal."""
    return _from_bits((_bits(x) + np.int64(0x1000)) & ~np.int64(0x1FFF))


@njit(inline="always", **OPTIONS)
def log(x):
    """Natural logarithm to about 1 ulp, without branches, so that loops over it vectorise.

    Reduction and coefficients are those of fdlibm's e_log.c.  Anything below
    1e-300, zero and negative numbers too, counts as 1e-300.
    """
    x = max(x, TINY)
    shifted = _bits(x) + (_ONE_BITS - _SQRT_HALF_BITS)
    k = np.float64((shifted >> 52) - 1023)
    f = _from_bits((shifted & _MANTISSA) + _SQRT_HALF_BITS) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373))
    even = z * (
        0.6666666666666735
        + w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586))
    )
    half = 0.5 * f * f
    return k * _LN2_HI - ((half - (s * (half + odd + even) + k * _LN2_LO)) - f)


@njit(inline="always", **OPTIONS)
def exp(x):
    """Exponential of x ≤ 0 to about 1 ulp, without branches; below e⁻⁷⁰⁰ it stays there.

    Reduction and coefficients are those of fdlibm's e_exp.c.
    """
    x = max(x, -700.0)
    k = np.floor(x * 1.4426950408889634 + 0.5)
    hi = x - k * _LN2_HI
    lo = k * _LN2_LO
    r = hi - lo
    t = r * r
    c = r - t * (
        0.16666666666666602
        + t
        * (
            -0.0027777777777015593
            + t
            * (6.613756321437934e-05 + t * (-1.6533902205465252e-06 + t * 4.1381367970572385e-08))
        )
    )
    y = 1.0 - ((lo - (r * c) / (2.0 - c)) - hi)
    return y * _from_bits((np.int64(k) + 1023) << 52)


@njit(inline="always", **OPTIONS)
def _rotl(x, k):
    return (x << np.uint64(k)) | (x >> np.uint64(64 - k))


@njit(**OPTIONS)
def fill_uniform(state, out):
    """Next number in (0, 1) of each lane's xoshiro256++ (Blackman & Vigna 2021).

    state : (4, n) uint64, advanced; out : (n,) float64, written.
    """
    for i in range(len(out)):
        s0, s1, s2, s3 = state[0, i], state[1, i], state[2, i], state[3, i]
        result = _rotl(s0 + s3, 23) + s0
        t = s1 << np.uint64(17)
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= t
        state[0, i], state[1, i], state[2, i], state[3, i] = s0, s1, s2, _rotl(s3, 45)
        out[i] = (np.float64(np.int64(result >> np.uint64(11))) + 0.5) * 1.1102230246251565e-16


def scratch(lanes):
    """The work arrays that draw_on_lines needs, each (lanes,)."""
    return tuple(np.empty(lanes) for _ in range(14))


# Rows are given as a range and arrays are indexed, never sliced: a view costs more than a
# logarithm.


@njit(**OPTIONS)
def derivatives(counts, mu, v, begin, end, total, t, slope, curvature):
    """ψ'(t) and −ψ''(t) of every lane from rows begin to end."""
    for i in range(len(t)):
        slope[i] = -total
        curvature[i] = 0.0
    for r in range(begin, end):
        c, vr = counts[r], v[r]
        for i in range(len(t)):
            ratio = vr / max(mu[r, i] + t[i] * vr, TINY)
            slope[i] += c * ratio
            curvature[i] += c * ratio * ratio


@njit(**OPTIONS)
def slopes(counts, mu, v, begin, end, total, t, slope):
    """ψ'(t) of every lane from rows begin to end."""
    for i in range(len(t)):
        slope[i] = -total
    for r in range(begin, end):
        c, vr = counts[r], v[r]
        for i in range(len(t)):
            slope[i] += c * vr / max(mu[r, i] + t[i] * vr, TINY)


@njit(**OPTIONS)
def rise(counts, mu, v, begin, end, total, base, t, out):
    """ψ(t) − ψ(base) of every lane from rows begin to end."""
    for i in range(len(t)):
        out[i] = (base[i] - t[i]) * total
    for r in range(begin, end):
        c, vr = counts[r], v[r]
        for i in range(len(t)):
            m = mu[r, i]
            out[i] += c * log((m + t[i] * vr) / max(m + base[i] * vr, TINY))


@njit(**OPTIONS)
def approach_modes(counts, mu, v, begin, end, total, lo, hi, t, slope, curvature, below, above):
    """Move each t near the peak of ψ in [lo, hi] by Newton steps inside a shrinking bracket.

    Near is 0.4 standard deviations, or where the bound is the peak a twentieth
    of the decay length from it.  below, above : (lanes,) scratch.
    """
    for i in range(len(t)):
        below[i] = lo[i]
        above[i] = hi[i]
    for _ in range(60):
        derivatives(counts, mu, v, begin, end, total, t, slope, curvature)
        far = 0.0
        for i in range(len(t)):
            g, h, x = slope[i], max(curvature[i], TINY), t[i]
            left, right = below[i], above[i]
            left = x if g > 0.0 else left
            right = right if g > 0.0 else x
            below[i] = left
            above[i] = right
            room = right - x if g > 0.0 else x - left
            edge = hi[i] - x if g > 0.0 else x - lo[i]
            # Straight towards a bound, which may be the peak, but halving a bracket around one.
            step = min(abs(g) / h, (0.9 if room >= edge else 0.5) * room)
            away = min(g * g - 0.16 * h, abs(g) * edge - 0.05)
            step = step if away > 0.0 else 0.0
            t[i] = x + np.copysign(step, g)
            far += 1.0 if away > 0.0 else 0.0
        if far == 0.0:
            return


@njit(**OPTIONS)
def _build_hats(lo, hi, a, b, slope_a, slope_b, height, joint, left, right):
    """Where the tangents at a and b meet, and the integrals under either up to a common factor.

    height : ψ(b) − ψ(a).
    """
    for i in range(len(a)):
        ga, gb = slope_a[i], slope_b[i]
        turn = ga - gb
        z = (height[i] - gb * (b[i] - a[i])) / (turn if turn > 0.0 else 1.0)
        z = a[i] + min(max(z, 0.0), b[i] - a[i])
        joint[i] = z
        at_z = ga * (z - a[i])
        at_lo = max(at_z, ga * (lo[i] - a[i]))
        at_hi = max(at_z, height[i] + gb * (hi[i] - b[i]))
        peak = max(at_lo, at_hi)
        # Each piece from its higher end downwards.
        ga, gb = max(abs(ga), TINY), max(abs(gb), TINY)
        w = z - lo[i]
        x = ga * w
        left[i] = exp(at_lo - peak) * ((1.0 - exp(-x)) / ga if x > 1e-7 else w)
        w = hi[i] - z
        x = gb * w
        right[i] = exp(at_hi - peak) * ((1.0 - exp(-x)) / gb if x > 1e-7 else w)


@njit(**OPTIONS)
def _draw_from_hats(u, lo, hi, a, b, slope_a, slope_b, height, joint, left, right, trial, hat):
    """Invert the distribution under the tangents at u: the trials, and ln hat − ψ(a) there."""
    for i in range(len(u)):
        area, other, z, top = left[i], right[i], joint[i], hi[i]
        ga, gb, ta, tb, hb, bottom = slope_a[i], slope_b[i], a[i], b[i], height[i], lo[i]
        at = u[i] * (area + other)
        is_left = at < area
        part = (at if is_left else at - area) / (area if is_left else other)
        g = ga if is_left else gb
        foot = bottom if is_left else z
        w = (z if is_left else top) - foot
        x = abs(g) * w
        depth = -log(1.0 - part * (1.0 - exp(-x))) / max(abs(g), TINY)
        depth = depth if x > 1e-7 else part * w
        t = foot + (depth if g < 0.0 else w - depth)
        trial[i] = t
        hat[i] = g * (t - (ta if is_left else tb)) + (0.0 if is_left else hb)


@njit(**OPTIONS)
def draw_on_lines(counts, mu, v, begin, end, total, lo, hi, t, state, work):
    """One exact draw per lane of t ∈ [lo, hi] with density ∝ exp ψ(t) of rows begin to end.

    counts, v : (n,) of the rows that have counts; mu : (n, lanes); total : V;
    lo, hi : (lanes,); t : (lanes,) starts inside (lo, hi), overwritten by the
    draws (left as they are where lo = hi); state : (4, lanes); work : scratch(lanes).
    Returns the number of lanes that found no draw (their t is NaN).
    """
    slope, curvature, a, b, slope_a, slope_b, height, joint, left, right, trial, hat, gain, u = work
    lanes = len(t)
    approach_modes(counts, mu, v, begin, end, total, lo, hi, t, slope, curvature, a, b)
    for i in range(lanes):
        # Tangents a standard deviation either side of the mode: the best pair for a Gaussian.
        reach = 1.0 / max(np.sqrt(slope[i] * slope[i] + curvature[i]), TINY)
        a[i] = t[i] - min(reach, 0.5 * (t[i] - lo[i]))
        b[i] = t[i] + min(reach, 0.5 * (hi[i] - t[i]))
        t[i] = np.nan if hi[i] > lo[i] else t[i]
    waiting = 0.0
    for _ in range(30):
        slopes(counts, mu, v, begin, end, total, a, slope_a)
        slopes(counts, mu, v, begin, end, total, b, slope_b)
        rise(counts, mu, v, begin, end, total, a, b, height)
        _build_hats(lo, hi, a, b, slope_a, slope_b, height, joint, left, right)
        for _ in range(25):
            fill_uniform(state, u)
            _draw_from_hats(
                u, lo, hi, a, b, slope_a, slope_b, height, joint, left, right, trial, hat
            )
            rise(counts, mu, v, begin, end, total, a, trial, gain)
            fill_uniform(state, u)
            waiting = 0.0
            for i in range(lanes):
                new, old = trial[i], t[i]
                margin = min(gain[i] - hat[i] - log(u[i]), min(new - lo[i], hi[i] - new))
                new = new if margin >= 0.0 else np.nan
                new = old if old == old else new
                t[i] = new
                waiting += 0.0 if new == new else 1.0
            if waiting == 0.0:
                return 0
        # So many refusals mean a poor hat: draw the tangents closer around the mode.
        slopes(counts, mu, v, begin, end, total, trial, slope)
        for i in range(lanes):
            if trial[i] > lo[i] and trial[i] < hi[i]:
                if slope[i] > 0.0 and (trial[i] > a[i] or slope_a[i] < 0.0):
                    a[i] = trial[i]
                elif slope[i] < 0.0 and (trial[i] < b[i] or slope_b[i] > 0.0):
                    b[i] = trial[i]
    return int(waiting)
