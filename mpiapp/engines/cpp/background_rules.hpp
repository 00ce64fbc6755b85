// Which rule integrates out each background of a problem (background_integrals.hpp).
//
// Either rule is compared with finer moving nodes, along the line on which the background follows
// the sources most: fixed nodes that fail there are replaced, and what is left counts as noise.

#pragma once

#include "cpp/vectorised.hpp"
#include "engines/cpp/background_integrals.hpp"
#include "engines/cpp/centre.hpp"
#include "engines/cpp/gauss_rule.hpp"

namespace mpiapp {

constexpr Index most_nodes = 16;           // of a fixed rule; moving nodes cost no more
constexpr Index more_nodes[] = {0, 2, 5};  // than the number decided first, one after the other
constexpr double node_error = 3e-5;        // relative, that decides their number
constexpr double near_root = 4.0;  // standard deviations of b, within which W leaves a factor out
constexpr double gaussian_end = 5.7;  // standard deviations where the sources' density has ended
// Standard deviations of the sources at which rules are compared; farther if a bound is near.
constexpr double compared_at[] = {0.0, -5.5, -3.0, -1.2, 1.2, 3.0, 5.5, 4.0};
constexpr double near_bound = 3.0, far_step = 11.0;
// A log density that is off by ε (1 + |τ|)² at τ standard deviations moves bounds by 4 ε
// half-widths.
constexpr double tolerated = 1e-4, to_half_widths = 4.0;
constexpr double reference_drop = 26.0;
inline const GaussLegendre<32> reference_rule;

// How many nodes a rule needs whose weight moves by `shift` of its standard deviations.
//
// The n-point Gauss–Hermite rule integrates e^{δx}, whose integral is e^{δ²/2}, with an error of
// δ^{2n} n!/(2n)!, which is asked to be small where the density of the sources ends.
inline Index count_nodes(double shift) {
    const double square = gaussian_end * shift * gaussian_end * shift;
    double error = 0.5 * square * std::exp(-0.5 * square);
    Index n = 1;
    while ((error > node_error || n < 2) && n <= most_nodes) {
        ++n;
        error *= square / (2.0 * (2.0 * n - 1.0));
    }
    return n;
}

class RuleFinder {
  public:
    RuleFinder(const Compressed& p, const Centre& centre) : p_(p), centre_(centre) {
        std::copy(std::begin(compared_at), std::end(compared_at), steps_.begin());
        for (Index j = 0; j < p.sources(); ++j) {
            const double room = std::min(centre.theta[j], p.upper[j] - centre.theta[j]);
            if (room < near_bound * centre.spread[j]) steps_[lanes - 1] = far_step;
        }
    }

    // Frozen backgrounds make one block with one node at zero.
    BackgroundRules find() {
        const Index blocks = p_.blocks();
        BackgroundRules rules;
        rules.begins = Array<Index>({blocks + 1}, 0);
        rules.moves = Array<bool>({blocks}, false);
        rules.theta = Array<double>(View<const double>(centre_.theta));
        rules.pull = Array<double, 2>(View<const double, 2>(centre_.pull));
        rules.error = 0.0;
        Array<double> nodes({blocks * most_nodes}), logs({blocks * most_nodes});
        Index at = 0;
        for (Index k = 0; k < blocks; ++k) {
            const Index room = at + most_nodes;
            if (p_.backgrounds() == 0 ||
                (p_.omega_sum[k] <= 0.0 && p_.first[k + 1] > p_.first[k])) {
                nodes[at] = logs[at] = 0.0;
                ++at;
            } else if (p_.first[k + 1] > p_.first[k]) {
                const Index n = fill(k, nodes.part(at, room), logs.part(at, room), rules.error);
                rules.moves[k] = n == 0;
                at += n;
            }
            rules.begins[k + 1] = at;
        }
        rules.nodes = Array<double>(View<const double>(nodes.part(0, at)));
        rules.logs = Array<double>(View<const double>(logs.part(0, at)));
        return rules;
    }

  private:
    static constexpr Index lanes = std::size(compared_at);
    using Values = Array<double>;

    // Fill in the fixed rule of an obsid; its number of nodes, 0 if its nodes have to move.
    VECTORISED Index fill(Index k, View<double> nodes, View<double> logs, double& error) {
        for (Index j = 0; j < p_.sources(); ++j) {
            for (Index i = 0; i < lanes; ++i) {
                const double t = centre_.theta[j] + steps_[i] * centre_.way(j, k);
                s_(j, i) = std::min(std::max(t, 1e-3 * centre_.theta[j]), p_.upper[j]);
            }
        }
        const ObsidIntegral integral(p_, k, s_, mu_, scratch_);
        const View<const double> theta = centre_.theta;
        const View<const double, 2> pull = centre_.pull;
        reference_.fill(0.0);
        integral.add_moving(reference_rule, theta, pull, reference_drop, reference_);
        for (Index more : more_nodes) {
            const Index n = fill_fixed(k, more, nodes, logs);
            if (n == 0) break;
            found_.fill(0.0);
            integral.add_fixed(nodes.part(0, n), logs.part(0, n), found_);
            const double off = disagreement();
            if (off <= tolerated) {
                error += to_half_widths * off;
                return n;
            }
        }
        found_.fill(0.0);
        integral.add_moving(coarse_rule, theta, pull, coarse_drop, found_);
        error += to_half_widths * disagreement();
        return 0;
    }

    // Fill in the fixed rule of an obsid about the centre; its number of nodes, 0 if it needs too
    // many.
    //
    // more : nodes than the shift asks for
    // The log weights contain the likelihood at the centre, so that of the collapsed likelihood
    // they are the constant.
    Index fill_fixed(Index k, Index more, View<double> nodes, View<double> logs) const {
        const Index sources = p_.sources(), begin = p_.first[k], end = p_.first[k + 1];
        const double total = p_.omega_sum[k], upper = p_.upper[sources + k];
        const View<const double> counts = p_.counts.part(begin, end);
        const View<const double> omega = p_.omega.part(begin, end);
        Array<double> mu({end - begin}), powers({end - begin});
        const double b = std::min(centre_.theta[sources + k], 0.999 * upper);
        double bend = 1.0 / (b * b);
        for (Index r = 0; r < mu.size(); ++r) {
            mu[r] = p_.offset[begin + r];
            for (Index j = 0; j < sources; ++j) mu[r] += p_.f(begin + r, j) * centre_.theta[j];
            const double ratio = omega[r] / (mu[r] + omega[r] * b);
            bend += counts[r] * ratio * ratio;
        }
        double degree = 0.0;
        for (Index r = 0; r < mu.size(); ++r) {
            const bool is_near = mu[r] + omega[r] * b < near_root * omega[r] / std::sqrt(bend);
            degree += is_near ? counts[r] : 0.0;
            powers[r] = is_near ? 0.0 : counts[r];
        }
        const double extra = std::ceil(0.5 * std::min(degree, 2.0 * most_nodes));
        const Index n = count_nodes(centre_.shift[k]) + more + static_cast<Index>(extra);
        if (n > most_nodes) return 0;
        const View<double> x = nodes.part(0, n), w = logs.part(0, n);
        const BackgroundDensity density{powers, omega, mu, total};
        gauss_rule(density, upper, b, x, w);
        const Index best = std::max_element(w.begin(), w.end()) - w.begin();
        std::swap(x[0], x[best]);
        std::swap(w[0], w[best]);
        for (Index q = 0; q < n; ++q) {
            w[q] = std::log(std::max(w[q], tiny)) - density.at(x[q]).height - total * x[q];
        }
        return n;
    }

    // The largest difference of two log densities over (1 + |τ|)² at the steps τ, the first 0.
    double disagreement() const {
        double worst = 0.0;
        for (Index i = 0; i < lanes; ++i) {
            const double off = (found_[i] - reference_[i]) - (found_[0] - reference_[0]);
            const double far = 1.0 + std::abs(steps_[i]), part = std::abs(off) / (far * far);
            worst = part <= worst ? worst : part;  // NaN stays
        }
        return worst;
    }

    const Compressed& p_;
    const Centre& centre_;
    std::array<double, lanes> steps_;
    Array<double, 2> s_{{p_.sources(), lanes}}, mu_{{p_.counts.size(), lanes}};
    Array<double, 2> scratch_{{integral_scratch, lanes}};
    Values found_{{lanes}}, reference_{{lanes}};
};

}  // namespace mpiapp
