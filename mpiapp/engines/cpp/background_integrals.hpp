// The likelihood of several sources with every background integrated out.
//
// Given the sources s an obsid's background b touches only its own rows, so that
//
//     ∫₀^U db e^{−bΩ} Π_r (m_r(s) + Ω_r b)^{C_r},    m_r(s) = Σ_j f_rj s_j + o_r,
//
// is one integral an obsid, done by one of two rules:
//
// - Fixed nodes.  At a point s* in the middle of the posterior the integrand is a weight W(b);
//   elsewhere it is W(b) times a ratio, smooth where the background hardly follows the sources.
//   The Gauss rule that belongs to W, exact for polynomials of degree 2n − 1, integrates the ratio
//   with few nodes, which do not depend on s.
// - Moving nodes.  Where the background follows the sources by more than its own width,
//   Gauss–Legendre nodes over the range in which the integrand at that very s lives.
//
// background_rules.hpp decides between them.

#pragma once

#include "cpp/nodes.hpp"
#include "cpp/sum_of_logs.hpp"
#include "engines/cpp/collapse.hpp"

namespace mpiapp {

// How the backgrounds of a problem are integrated out.
struct BackgroundRules {
    Array<Index> begins;        // (obsids + 1) first fixed node of each obsid
    Array<double> nodes, logs;  // of all of them, with the logarithms of their weights
    Array<bool> moves;          // (obsids) whether an obsid has moving nodes instead
    Array<double> theta;        // the point about which backgrounds follow sources, and by how
    Array<double, 2> pull;      // much: see centre.hpp
    double error;               // what all of them may move mode and bounds by, in half-widths
};

constexpr Index integral_scratch = 3 + reach_scratch;

// The sources of many lanes in one obsid, whose log integral over its background is asked for.
//
// s : (sources, lanes); mu : (rows, lanes) what the rows of the obsid expect of s
// scratch : (integral_scratch, lanes)
class ObsidIntegral {
  public:
    ObsidIntegral(const Compressed& p, Index obsid, View<const double, 2> s, View<double, 2> mu,
                  View<double, 2> scratch)
        : p_(p),
          obsid_(obsid),
          begin_(p.begin_of(obsid)),
          end_(p.end_of(obsid)),
          s_(s),
          mu_(mu),
          scratch_(scratch),
          lanes_(s.shape(1)) {
        for (Index r = begin_; r < end_; ++r) {
            for (Index i = 0; i < lanes_; ++i) mu_(r - begin_, i) = p.offset[r];
            for (Index j = 0; j < s.size(); ++j) {
                for (Index i = 0; i < lanes_; ++i) mu_(r - begin_, i) += p.f(r, j) * s(j, i);
            }
        }
    }

    // Add to out (lanes) the integral by fixed nodes.
    void add_fixed(View<const double> nodes, View<const double> logs, Lanes out) const {
        const Lanes first = scratch_[0], height = scratch_[1], sum = scratch_[2];
        const Lanes expected = scratch_[3];
        const Array<double> bits = bits_of_rows(nodes);
        for (Index q = 0; q < nodes.size(); ++q) {
            height.fill(logs[q]);
            SumOfLogs terms(height, scratch_[4]);
            for (Index r = begin_; r < end_; ++r) {
                const Lanes mu = mu_[r - begin_];
                const double add = p_.omega[r] * nodes[q];
                for (Index i = 0; i < lanes_; ++i) expected[i] = mu[i] + add;
                terms.add(p_.counts[r], bits[r - begin_], expected);
            }
            terms.finish();
            if (q == 0) {
                for (Index i = 0; i < lanes_; ++i) {
                    out[i] += height[i];
                    first[i] = height[i];
                    sum[i] = 1.0;
                }
            } else {
                for (Index i = 0; i < lanes_; ++i) {
                    sum[i] += quick_exp(std::min(height[i] - first[i], 600.0));
                }
            }
        }
        if (nodes.size() == 1) return;
        for (Index i = 0; i < lanes_; ++i) out[i] += quick_log(sum[i]);
    }

    // Add to out (lanes) the integral by nodes of the rule that follow s.
    //
    // theta, pull : see `BackgroundRules`; drop : log of the peak over the value at the ends
    template <Index n>
    void add_moving(const GaussLegendre<n>& rule, View<const double> theta,
                    View<const double, 2> pull, double drop, Lanes out) const {
        const Index sources = s_.size();
        const double bound = p_.upper[sources + obsid_], at = theta[sources + obsid_];
        const Lanes peak = scratch_[0], lo = scratch_[1], hi = scratch_[2];
        peak.fill(at);
        for (Index j = 0; j < sources; ++j) {
            for (Index i = 0; i < lanes_; ++i) peak[i] += pull(j, obsid_) * (s_(j, i) - theta[j]);
        }
        for (Index i = 0; i < lanes_; ++i) {
            peak[i] = std::min(std::max(peak[i], 0.01 * at), 0.99 * bound + 0.01 * at);
        }
        const Lines lines{p_.counts.part(begin_, end_), mu_.part(0, end_ - begin_),
                          p_.omega.part(begin_, end_), p_.omega_sum[obsid_]};
        reach_down(lines, bound, drop, peak, lo, hi, scratch_.part(3, 3 + reach_scratch));
        const Lanes mass = scratch_[3];
        for (Index i = 0; i < lanes_; ++i) {
            mass[i] = relative_integral(rule, lines, i, peak[i], lo[i], hi[i]);
        }
        lines.add_heights(peak, out);
        for (Index i = 0; i < lanes_; ++i) out[i] += quick_log(mass[i]);
    }

  private:
    // What |log₂| of what each row expects is at most, for backgrounds at the nodes.
    Array<double> bits_of_rows(View<const double> nodes) const {
        const auto [lowest, highest] = std::minmax_element(nodes.begin(), nodes.end());
        Array<double> bits({end_ - begin_});
        for (Index r = begin_; r < end_; ++r) {
            double most = p_.offset[r] + p_.omega[r] * *highest;
            for (Index j = 0; j < s_.size(); ++j) most += p_.f(r, j) * p_.upper[j];
            bits[r - begin_] = bits_between(p_.offset[r] + p_.omega[r] * *lowest, most);
        }
        return bits;
    }

    // ∫ of one lane from lo to hi, over the integrand at the peak.
    template <Index n>
    static double relative_integral(const GaussLegendre<n>& rule, const Lines& lines, Index lane,
                                    double peak, double lo, double hi) {
        const double half = 0.5 * (hi - lo);
        double b[n], height[n], ratio[n], product[n];
        for (Index q = 0; q < n; ++q) {
            b[q] = lo + half * (1.0 + rule.nodes[q]);
            height[q] = -lines.total * (b[q] - peak);
        }
        SumOfLogs terms({height, {n}}, {product, {n}});
        for (Index r = 0; r < lines.rows(); ++r) {
            const double mu = lines.mu(r, lane), v = lines.v[r], scale = 1.0 / (mu + v * peak);
            for (Index q = 0; q < n; ++q) ratio[q] = (mu + v * b[q]) * scale;
            terms.add(lines.counts[r], bits_between(ratio[0], ratio[n - 1]), {ratio, {n}});
        }
        terms.finish();
        double mass = 0.0;
        for (Index q = 0; q < n; ++q) {
            mass += rule.weights[q] * quick_exp(std::min(height[q], 600.0));
        }
        return mass * half;
    }

    const Compressed& p_;
    Index obsid_, begin_, end_;
    View<const double, 2> s_;
    View<double, 2> mu_, scratch_;
    Index lanes_;
};

constexpr double coarse_drop = 16.0;
inline const GaussLegendre<16> coarse_rule;

// Log-likelihood of s (sources, lanes) up to a constant, backgrounds integrated out; out (lanes).
//
// mu : scratch (most rows of an obsid, lanes); scratch : (integral_scratch, lanes)
inline void log_likelihood(const Compressed& p, const BackgroundRules& rules,
                           View<const double, 2> s, View<double, 2> mu, View<double, 2> scratch,
                           Lanes out) {
    out.fill(0.0);
    for (Index j = 0; j < s.size(); ++j) {
        for (Index i = 0; i < out.size(); ++i) out[i] -= p.f_sum[j] * s(j, i);
    }
    for (Index k = 0; k < p.blocks(); ++k) {
        const Index begin = rules.begins[k], end = rules.begins[k + 1];
        if (begin == end && !rules.moves[k]) continue;
        const ObsidIntegral integral(p, k, s, mu, scratch);
        if (rules.moves[k]) {
            integral.add_moving(coarse_rule, rules.theta, rules.pull, coarse_drop, out);
        } else {
            integral.add_fixed(rules.nodes.part(begin, end), rules.logs.part(begin, end), out);
        }
    }
}

}  // namespace mpiapp
