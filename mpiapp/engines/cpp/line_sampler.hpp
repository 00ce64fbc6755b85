// Exact draws along lines: ψ is concave, so that two tangents make a hat for rejection sampling
// (Gilks & Wild 1992, Appl. Statist. 41, 337).

#pragma once

#include <limits>

#include "cpp/vectorised.hpp"
#include "engines/cpp/lines.hpp"
#include "engines/cpp/random_lanes.hpp"

namespace mpiapp {

class LineSampler {
  public:
    explicit LineSampler(Index lanes) : scratch_({14, lanes}) {}

    // One draw a lane of t ∈ [lo, hi] with density ∝ exp ψ(t).
    //
    // t : (lanes) starts inside (lo, hi), overwritten by the draws (left as they are where lo = hi)
    // Returns the number of lanes that found no draw (their t is NaN).
    VECTORISED Index draw(const Lines& lines, ConstLanes lo, ConstLanes hi, Lanes t, States state) {
        approach_modes(lines, lo, hi, t, slope, curvature, a, b);
        for (Index i = 0; i < t.size(); ++i) {
            // Tangents a standard deviation either side of the mode: the best pair for a Gaussian.
            const double reach =
                1.0 / std::max(std::sqrt(slope[i] * slope[i] + curvature[i]), tiny);
            a[i] = t[i] - std::min(reach, 0.5 * (t[i] - lo[i]));
            b[i] = t[i] + std::min(reach, 0.5 * (hi[i] - t[i]));
            t[i] = hi[i] > lo[i] ? nan : t[i];
        }
        Index waiting = 0;
        for (int hat_number = 0; hat_number < most_hats; ++hat_number) {
            lines.slopes(a, slope_a);
            lines.slopes(b, slope_b);
            lines.rise(a, b, height);
            build_hats(lo, hi);
            for (int trial_number = 0; trial_number < most_trials; ++trial_number) {
                fill_uniform(state, u);
                draw_from_hats(lo, hi);
                lines.rise(a, trial, gain);
                fill_uniform(state, u);
                waiting = accept(lo, hi, t);
                if (waiting == 0) return 0;
            }
            // So many refusals mean a poor hat: draw the tangents closer around the mode.
            lines.slopes(trial, slope);
            move_tangents(lo, hi);
        }
        return waiting;
    }

  private:
    static constexpr int most_hats = 30, most_trials = 25;
    static constexpr double nan = std::numeric_limits<double>::quiet_NaN();

    // Where the tangents at a and b meet, and the integrals under either up to a common factor.
    void build_hats(ConstLanes lo, ConstLanes hi) {
        INDEPENDENT
        for (Index i = 0; i < u.size(); ++i) {
            double ga = slope_a[i], gb = slope_b[i];
            const double turn = ga - gb;
            double z = (height[i] - gb * (b[i] - a[i])) / (turn > 0.0 ? turn : 1.0);
            z = a[i] + std::min(std::max(z, 0.0), b[i] - a[i]);
            joint[i] = z;
            const double at_z = ga * (z - a[i]);
            const double at_lo = std::max(at_z, ga * (lo[i] - a[i]));
            const double at_hi = std::max(at_z, height[i] + gb * (hi[i] - b[i]));
            const double peak = std::max(at_lo, at_hi);
            // Each piece from its higher end downwards.
            ga = std::max(std::abs(ga), tiny);
            gb = std::max(std::abs(gb), tiny);
            left[i] = quick_exp(at_lo - peak) * decayed(ga, z - lo[i]);
            right[i] = quick_exp(at_hi - peak) * decayed(gb, hi[i] - z);
        }
    }

    // The integral of e^{−gx} from 0 to w.
    static double decayed(double g, double w) {
        const double x = g * w, filled = (1.0 - quick_exp(-x)) / g;
        return x > 1e-7 ? filled : w;
    }

    // Invert the distribution under the tangents at u: the trials, and ln hat − ψ(a) there.
    void draw_from_hats(ConstLanes lo, ConstLanes hi) {
        INDEPENDENT
        for (Index i = 0; i < u.size(); ++i) {
            const double area = left[i], other = right[i], z = joint[i], top = hi[i];
            const double ga = slope_a[i], gb = slope_b[i], ta = a[i], tb = b[i], hb = height[i];
            const double bottom = lo[i], at = u[i] * (area + other);
            const bool is_left = at < area;
            const double part = (is_left ? at : at - area) / (is_left ? area : other);
            const double g = is_left ? ga : gb, foot = is_left ? bottom : z;
            const double w = (is_left ? z : top) - foot, x = std::abs(g) * w;
            const double inverse =
                -quick_log(1.0 - part * (1.0 - quick_exp(-x))) / std::max(std::abs(g), tiny);
            const double depth = x > 1e-7 ? inverse : part * w;
            const double t = foot + (g < 0.0 ? depth : w - depth);
            trial[i] = t;
            hat[i] = g * (t - (is_left ? ta : tb)) + (is_left ? 0.0 : hb);
        }
    }

    // Trials that u accepts become the draws of lanes without one; how many lanes still wait.
    Index accept(ConstLanes lo, ConstLanes hi, Lanes t) {
        double waiting = 0.0;
        for (Index i = 0; i < t.size(); ++i) {
            const double tried = trial[i], old = t[i];
            const double below = gain[i] - hat[i] - quick_log(u[i]);
            const double margin = std::min(below, std::min(tried - lo[i], hi[i] - tried));
            const double found = margin >= 0.0 ? tried : nan;
            t[i] = old == old ? old : found;
            waiting += t[i] == t[i] ? 0.0 : 1.0;
        }
        return static_cast<Index>(waiting);
    }

    void move_tangents(ConstLanes lo, ConstLanes hi) {
        for (Index i = 0; i < u.size(); ++i) {
            const double t = trial[i];
            if (!(t > lo[i] && t < hi[i])) continue;
            if (slope[i] > 0.0 && (t > a[i] || slope_a[i] < 0.0)) {
                a[i] = t;
            } else if (slope[i] < 0.0 && (t < b[i] || slope_b[i] > 0.0)) {
                b[i] = t;
            }
        }
    }

    Array<double, 2> scratch_;
    const Lanes slope = scratch_[0], curvature = scratch_[1];
    const Lanes a = scratch_[2], b = scratch_[3];              // where the tangents touch
    const Lanes slope_a = scratch_[4], slope_b = scratch_[5];  // ψ' there
    const Lanes height = scratch_[6];                          // ψ(b) − ψ(a)
    const Lanes joint = scratch_[7];                           // where the tangents meet
    const Lanes left = scratch_[8], right = scratch_[9];       // integrals under them
    const Lanes trial = scratch_[10], hat = scratch_[11], gain = scratch_[12], u = scratch_[13];
};

}  // namespace mpiapp
