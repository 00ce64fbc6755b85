// The log-posterior of C ~ Poisson(F·θ + offset) under uniform priors along lines θ + t·d,
//
//     ψ(t) = Σ_r C_r log(μ_r + t v_r) − t V,
//
// with v = F·d and V = Σ v over all rows, those without counts too.  ψ is concave.  There are many
// lines at once, the lanes: they share counts and v and differ in μ, so that each loop over lanes
// becomes vector instructions.

#pragma once

#include <cmath>

#include "cpp/arrays.hpp"
#include "cpp/log_exp.hpp"

namespace mpiapp {

using Lanes = View<double>;
using ConstLanes = View<const double>;

struct Lines {
    View<const double> counts;  // (rows) of those that have counts
    View<const double, 2> mu;   // (rows, lanes) at t = 0
    View<const double> v;       // (rows)
    double total;               // V

    Index rows() const { return counts.size(); }

    // ψ'(t) and −ψ''(t).
    void derivatives(ConstLanes t, Lanes slope, Lanes curvature) const {
        slope.fill(-total);
        curvature.fill(0.0);
        for (Index r = 0; r < rows(); ++r) {
            const double c = counts[r], vr = v[r];
            for (Index i = 0; i < t.size(); ++i) {
                const double ratio = vr / std::max(mu(r, i) + t[i] * vr, tiny);
                slope[i] += c * ratio;
                curvature[i] += c * ratio * ratio;
            }
        }
    }

    // ψ'(t).
    void slopes(ConstLanes t, Lanes slope) const {
        slope.fill(-total);
        for (Index r = 0; r < rows(); ++r) {
            const double c = counts[r], vr = v[r];
            for (Index i = 0; i < t.size(); ++i) {
                slope[i] += c * vr / std::max(mu(r, i) + t[i] * vr, tiny);
            }
        }
    }

    // Add ψ(t) to out.
    void add_heights(ConstLanes t, Lanes out) const {
        for (Index i = 0; i < t.size(); ++i) out[i] -= t[i] * total;
        for (Index r = 0; r < rows(); ++r) {
            const double c = counts[r], vr = v[r];
            for (Index i = 0; i < t.size(); ++i) out[i] += c * quick_log(mu(r, i) + t[i] * vr);
        }
    }

    // ψ(t) − ψ(base).
    void rise(ConstLanes base, ConstLanes t, Lanes out) const {
        for (Index i = 0; i < t.size(); ++i) out[i] = (base[i] - t[i]) * total;
        for (Index r = 0; r < rows(); ++r) {
            const double c = counts[r], vr = v[r];
            for (Index i = 0; i < t.size(); ++i) {
                const double m = mu(r, i);
                out[i] += c * quick_log((m + t[i] * vr) / std::max(m + base[i] * vr, tiny));
            }
        }
    }
};

constexpr int newton_rounds = 60;

// Move each t near the peak of ψ in [lo, hi] by Newton steps inside a shrinking bracket.
//
// Near is 0.4 standard deviations, or where the bound is the peak a twentieth of the decay length
// from it.  slope, curvature : written, at t; below, above : scratch.
inline void approach_modes(const Lines& lines, ConstLanes lo, ConstLanes hi, Lanes t, Lanes slope,
                           Lanes curvature, Lanes below, Lanes above) {
    const Index lanes = t.size();
    for (Index i = 0; i < lanes; ++i) {
        below[i] = lo[i];
        above[i] = hi[i];
    }
    for (int round = 0; round < newton_rounds; ++round) {
        lines.derivatives(t, slope, curvature);
        double far = 0.0;
        for (Index i = 0; i < lanes; ++i) {
            const double g = slope[i], h = std::max(curvature[i], tiny), x = t[i];
            const double left = g > 0.0 ? x : below[i], right = g > 0.0 ? above[i] : x;
            below[i] = left;
            above[i] = right;
            const double room = g > 0.0 ? right - x : x - left;
            const double edge = g > 0.0 ? hi[i] - x : x - lo[i];
            // Straight towards a bound, which may be the peak, but halving a bracket around one.
            const double most = (room >= edge ? 0.9 : 0.5) * room;
            const double away = std::min(g * g - 0.16 * h, std::abs(g) * edge - 0.05);
            const double step = away > 0.0 ? std::min(std::abs(g) / h, most) : 0.0;
            t[i] = x + std::copysign(step, g);
            far += away > 0.0 ? 1.0 : 0.0;
        }
        if (far == 0.0) return;
    }
}

}  // namespace mpiapp
