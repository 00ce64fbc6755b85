// The marginal density of the only source, its backgrounds integrated out, and where it lives.
//
//     p(s | C) ∝ e^{−s Σf} Π_k ∫₀^U db e^{−b ΣΩ_k} Π_{r∈k} (f_r s + Ω_r b + o_r)^{C_r}

#pragma once

#include "cpp/nodes.hpp"
#include "cpp/sum_of_logs.hpp"
#include "cpp/vectorised.hpp"
#include "engines/cpp/compressed.hpp"
#include "engines/cpp/lines.hpp"

namespace mpiapp {

constexpr double collapse_drop = 24.0;  // log of the peak over the density at the range's ends
constexpr Index background_nodes = 24;
inline const GaussLegendre<background_nodes> background_rule;

constexpr Index reach_scratch = 4;

// Where the density of a background, given the sources of each lane, has fallen by e^drop.
//
// peak : guesses of the mode, moved near it; lo, hi : written, in [0, bound]
// scratch : (reach_scratch, lanes)
inline void reach_down(const Lines& lines, double bound, double drop, Lanes peak, Lanes lo,
                       Lanes hi, View<double, 2> scratch) {
    const Lanes slope = scratch[0], curvature = scratch[1], right = scratch[2], gain = scratch[3];
    lo.fill(0.0);
    hi.fill(bound);
    approach_modes(lines, lo, hi, peak, slope, curvature, right, gain);
    // A parabola bounds the fall to the left since ψ''' > 0; to the right Newton steps end beyond
    // the point where the drop is reached.
    for (Index i = 0; i < peak.size(); ++i) {
        const double root = std::sqrt(slope[i] * slope[i] + 2.0 * drop * curvature[i]);
        lo[i] = std::max(0.0, peak[i] - 2.0 * drop / std::max(slope[i] + root, tiny));
        hi[i] = std::min(bound, peak[i] + 2.0 * drop / std::max(root - slope[i], tiny));
    }
    for (int step = 0; step < 2; ++step) {
        lines.rise(peak, hi, gain);
        lines.slopes(hi, right);
        for (Index i = 0; i < peak.size(); ++i) {
            if (right[i] < 0.0) hi[i] = std::min(bound, hi[i] - (gain[i] + drop) / right[i]);
        }
    }
}

// ∫ db of one background given one s, over the integrand at the peak; the derivatives of its
// logarithm by s, and the background's moments.
struct BackgroundIntegral {
    double mass, slope, bend;
    double mean, square;
};

// counts, mu, f, omega : of the rows of one obsid, mu what they expect without its background
// total : of omega over all rows; peak : near the mode of the background; [lo, hi] : its range
// wants_slopes : whether the derivatives are asked for
inline BackgroundIntegral integrate_background(View<const double> counts, View<const double> mu,
                                               View<const double, 2> f, View<const double> omega,
                                               double total, double peak, double lo, double hi,
                                               bool wants_slopes) {
    constexpr Index n = background_nodes;
    const double half = 0.5 * (hi - lo);
    double b[n], height[n], pull[n], bend[n], ratio[n], product[n];
    for (Index j = 0; j < n; ++j) {
        b[j] = lo + half * (1.0 + background_rule.nodes[j]);
        height[j] = -total * (b[j] - peak);
        pull[j] = bend[j] = 0.0;
    }
    SumOfLogs terms({height, {n}}, {product, {n}});
    for (Index r = 0; r < counts.size(); ++r) {
        const double c = counts[r], scale = 1.0 / (mu[r] + omega[r] * peak);
        for (Index j = 0; j < n; ++j) ratio[j] = (mu[r] + omega[r] * b[j]) * scale;
        if (wants_slopes) {
            const double scaled = f(r, 0) * scale;
            for (Index j = 0; j < n; ++j) {
                const double x = scaled / ratio[j];
                pull[j] += c * x;
                bend[j] += c * x * x;
            }
        }
        terms.add(c, bits_between(ratio[0], ratio[n - 1]), {ratio, {n}});
    }
    terms.finish();
    double mass = 0.0, first = 0.0, second = 0.0, mean = 0.0, square = 0.0;
    for (Index j = 0; j < n; ++j) {
        const double weight = background_rule.weights[j] * quick_exp(std::min(height[j], 0.5));
        mass += weight;
        mean += weight * b[j];
        square += weight * (b[j] * b[j]);
        first += weight * pull[j];
        second += weight * (pull[j] * pull[j] - bend[j]);
    }
    const double slope = first / mass;
    return {mass * half, slope, second / mass - slope * slope, mean / mass, square / mass};
}

// Log marginal of s (lanes), backgrounds integrated out, with its first and second derivatives if
// there is room for them.
//
// start : (backgrounds) guesses of the background, overwritten by the conditional mode of the
//     middle lane
// out : (1 or 3, lanes) and powers : (2, backgrounds, lanes), written: the latter with the means of
//     each background and of its square given s (of an obsid without counts, what they are at most)
VECTORISED inline void collapse(const Compressed& p, ConstLanes s, View<double> start,
                                View<double, 2> out, View<double, 3> powers) {
    const Index lanes = s.size(), rows = p.counts.size();
    const bool wants_slopes = out.size() == 3;
    for (Index i = 0; i < lanes; ++i) out(0, i) = -p.f_sum[0] * s[i];
    if (wants_slopes) {
        out[1].fill(-p.f_sum[0]);
        out[2].fill(0.0);
    }
    Array<double, 2> mu({rows, lanes});
    for (Index r = 0; r < rows; ++r) {
        for (Index i = 0; i < lanes; ++i) mu(r, i) = p.offset[r] + p.f(r, 0) * s[i];
    }
    if (p.backgrounds() == 0) {
        for (Index r = 0; r < rows; ++r) {
            for (Index i = 0; i < lanes; ++i) out(0, i) += p.counts[r] * quick_log(mu(r, i));
            for (Index i = 0; wants_slopes && i < lanes; ++i) {
                const double ratio = p.f(r, 0) / mu(r, i);
                out(1, i) += p.counts[r] * ratio;
                out(2, i) -= p.counts[r] * ratio * ratio;
            }
        }
        return;
    }
    Array<double, 2> work({3 + reach_scratch, lanes});
    const Lanes lo = work[0], hi = work[1], peak = work[2], mass = work[3];
    Array<double> mu_of_lane({rows});
    for (Index k = 0; k < p.backgrounds(); ++k) {
        const Index begin = p.first[k], end = p.first[k + 1];
        const double total = p.omega_sum[k];
        // Without counts, or without background, this obsid says the same about every s.
        if (begin == end) {
            powers[0][k].fill(1.0 / total);
            powers[1][k].fill(2.0 / (total * total));
            continue;
        }
        const Lines lines{p.counts.part(begin, end), mu.part(begin, end), p.omega.part(begin, end),
                          total};
        peak.fill(start[k]);
        reach_down(lines, p.upper[1 + k], collapse_drop, peak, lo, hi,
                   work.part(3, 3 + reach_scratch));
        start[k] = peak[lanes / 2];
        for (Index i = 0; i < lanes; ++i) {
            for (Index r = 0; r < lines.rows(); ++r) mu_of_lane[r] = lines.mu(r, i);
            const auto found =
                integrate_background(lines.counts, mu_of_lane, p.f.part(begin, end), lines.v, total,
                                     peak[i], lo[i], hi[i], wants_slopes);
            mass[i] = found.mass;
            if (wants_slopes) {
                out(1, i) += found.slope;
                out(2, i) += found.bend;
            }
            powers(0, k, i) = found.mean;
            powers(1, k, i) = found.square;
        }
        lines.add_heights(peak, out[0]);
        for (Index i = 0; i < lanes; ++i) out(0, i) += quick_log(mass[i]);
    }
}

// Where a density lives: [lo, hi], and its logarithm at the peak.
struct Bracket {
    double lo, hi, top;
};

// The `Bracket` of the marginal of s, searched from a guess of s.
//
// lo and hi are bounds of the prior or points where the density has fallen by e⁻²⁴ or more.
class BracketSearch {
  public:
    BracketSearch(const Compressed& p, View<double> start)
        : p_(p), start_(start), powers_({2, p.backgrounds(), 1}), bound_(p.upper[0]) {}

    Bracket from(double guess) {
        find_peak(guess);
        const double lo = find_end(-1.0, peak_), hi = find_end(1.0, bound_ - peak_);
        return {peak_ - lo, peak_ + hi, top_};
    }

  private:
    // Log density, slope and curvature (positive) at s.
    void look(double s) {
        at_[0] = s;
        collapse(p_, at_, start_, out_, powers_);
        value_ = out_(0, 0);
        slope_ = out_(1, 0);
        curvature_ = std::max(-out_(2, 0), tiny);
    }

    void find_peak(double s) {
        double below = 0.0, above = bound_;
        for (int round = 0; round < 100; ++round) {
            look(s);
            peak_ = s;
            const double g = slope_, h = curvature_, edge = g < 0.0 ? s : bound_ - s;
            if (g * g <= 0.01 * h || std::abs(g) * edge <= 0.01) break;
            if (g > 0.0) {
                below = s;
                s += std::min(g / h, (above == bound_ ? 0.9 : 0.5) * (above - s));
            } else {
                above = s;
                s -= std::min(-g / h, (below == 0.0 ? 0.9 : 0.5) * (s - below));
            }
        }
        top_ = value_;
        slope_at_peak_ = slope_;
        root_ = std::sqrt(slope_ * slope_ + 2.0 * collapse_drop * curvature_);
    }

    // How far from the peak the density ends on the side of this sign; the bound is `room` away.
    double find_end(double sign, double room) {
        double x =
            std::min(2.0 * collapse_drop / std::max(root_ - sign * slope_at_peak_, tiny), room);
        for (int round = 0; round < 30; ++round) {
            x = std::min(x, room);
            // The density at a bound of the prior may be zero, so look just inside.
            look(peak_ + sign * (x >= room ? room * (1.0 - 1e-9) : x));
            const double fall = top_ - value_, slope = sign * slope_;
            if (x >= room && fall <= collapse_drop) break;
            if (collapse_drop <= fall && fall <= 1.3 * collapse_drop) break;
            if (!(slope < 0.0)) {
                x = std::min(2.0 * x, room);
                continue;
            }
            // From inside, a tangent leads beyond the drop; from beyond, closer to it.
            const double aim = x + (collapse_drop * 1.1 - fall) / -slope;
            x = std::min(std::max(aim, 0.3 * x), room);
        }
        return x;
    }

    const Compressed& p_;
    View<double> start_;
    Array<double> at_{{1}};
    Array<double, 2> out_{{3, 1}};
    Array<double, 3> powers_;
    double bound_;
    double value_, slope_, curvature_;
    double peak_, top_, slope_at_peak_, root_;
};

}  // namespace mpiapp
