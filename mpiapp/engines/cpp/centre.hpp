// Where a posterior stands inside its box: a centre close to the mean, and the precision there.

#pragma once

#include <limits>

#include "cpp/log_exp.hpp"
#include "engines/cpp/compressed.hpp"
#include "engines/cpp/maximise.hpp"

namespace mpiapp {

// Members are those of the named tuple in centre.py, which says what they are.
struct Centre {
    Array<double> theta;
    Array<double, 2> precision;
    Array<double> spread, shift;
    Array<double, 2> way, pull;
    double decrement;
};

// Solve a·y = x for the positive definite a (n, n), overwritten by its factor; x becomes y.
inline void cholesky_solve(View<double, 2> a, View<double> x) {
    const Index n = x.size();
    for (Index i = 0; i < n; ++i) {
        for (Index j = 0; j <= i; ++j) {
            double total = a(i, j);
            for (Index m = 0; m < j; ++m) total -= a(i, m) * a(j, m);
            a(i, j) = i == j ? std::sqrt(std::max(total, tiny)) : total / a(j, j);
        }
        for (Index m = 0; m < i; ++m) x[i] -= a(i, m) * x[m];
        x[i] /= a(i, i);
    }
    for (Index i = n - 1; i >= 0; --i) {
        for (Index m = i + 1; m < n; ++m) x[i] -= a(m, i) * x[m];
        x[i] /= a(i, i);
    }
}

// The peak of p(θ | C) Π θ (U − θ).
//
// The factors are the logarithmic barrier of interior-point methods: with them the peak lies
// inside the box however a bound cuts the posterior.  All terms are logarithms with weights of at
// least one, so that Newton's method, damped by a search along each step, leads there from
// anywhere and its decrement says how far it is (Nesterov & Nemirovskii 1994).
class CentreSearch {
  public:
    explicit CentreSearch(const Compressed& p) : p_(p) {}

    Centre find() {
        guess();
        double decrement = std::numeric_limits<double>::infinity();
        for (int round = 0; round < newton_rounds; ++round) {
            expand();
            decrement = newton_step();
            if (decrement < converged) break;
            const double length = decrement > 0.3 ? step_length(decrement) : 1.0;
            for (Index j = 0; j < columns_; ++j) theta_[j] += length * step_[j];
        }
        Centre centre = spreads();
        centre.theta = std::move(theta_);
        centre.precision = std::move(ss_);
        centre.decrement = decrement;
        return centre;
    }

  private:
    static constexpr int em_rounds = 15, newton_rounds = 200, search_rounds = 30;
    static constexpr double converged = 1e-5;  // standard deviations
    static constexpr double searched = 0.1;    // of the slope along a step at its beginning

    void guess() {
        double seen = 0.0;
        for (double c : p_.counts) seen += c;
        Array<double> gain({columns_});
        for (Index j = 0; j < columns_; ++j) {
            const double total = p_.total(j);
            theta_[j] = 0.5 * p_.upper[j];
            if (total > 0.0) theta_[j] = std::min(theta_[j], (1.0 + seen / columns_) / total);
        }
        for (int round = 0; round < em_rounds; ++round) {
            gains(p_, theta_, gain);
            for (Index j = 0; j < columns_; ++j) {
                const double total = p_.total(j);
                if (total <= 0.0) continue;
                const double better = (theta_[j] * gain[j] + 1.0) / total;
                theta_[j] = std::min(better, 0.5 * (theta_[j] + p_.upper[j]));
            }
        }
    }

    // Gradient of the centred density at theta, and the blocks of its negative Hessian: sources
    // (its lower triangle), sources with backgrounds, backgrounds.
    void expand() {
        ss_.fill(0.0);
        sb_.fill(0.0);
        for (Index j = 0; j < columns_; ++j) {
            const double below = 1.0 / theta_[j], above = 1.0 / (p_.upper[j] - theta_[j]);
            gradient_[j] = below - above - p_.total(j);
            const double bend = below * below + above * above;
            if (j < sources_) {
                ss_(j, j) = bend;
            } else {
                bb_[j - sources_] = bend;
            }
        }
        for (Index k = 0; k < p_.blocks(); ++k) {
            for (Index r = p_.begin_of(k); r < p_.end_of(k); ++r) {
                const double mu = p_.expected(r, k, theta_), ratio = p_.counts[r] / mu;
                const double bend = ratio / mu;
                for (Index j = 0; j < sources_; ++j) {
                    gradient_[j] += p_.f(r, j) * ratio;
                    for (Index i = 0; i <= j; ++i) ss_(j, i) += p_.f(r, j) * p_.f(r, i) * bend;
                }
                if (p_.backgrounds() == 0) continue;
                gradient_[sources_ + k] += p_.omega[r] * ratio;
                bb_[k] += p_.omega[r] * p_.omega[r] * bend;
                for (Index j = 0; j < sources_; ++j) sb_(j, k) += p_.f(r, j) * p_.omega[r] * bend;
            }
        }
    }

    // Fill step, and integrate the backgrounds out of the precision ss; the Newton decrement.
    double newton_step() {
        for (Index j = 0; j < sources_; ++j) {
            step_[j] = gradient_[j];
            for (Index k = 0; k < backgrounds_; ++k) {
                step_[j] -= sb_(j, k) * gradient_[sources_ + k] / bb_[k];
            }
            for (Index i = 0; i <= j; ++i) {
                for (Index k = 0; k < backgrounds_; ++k) {
                    ss_(j, i) -= sb_(j, k) * sb_(i, k) / bb_[k];
                }
                factor_(j, i) = ss_(i, j) = ss_(j, i);
            }
        }
        cholesky_solve(factor_, step_.part(0, sources_));
        for (Index k = 0; k < backgrounds_; ++k) {
            double rest = gradient_[sources_ + k];
            for (Index j = 0; j < sources_; ++j) rest -= sb_(j, k) * step_[j];
            step_[sources_ + k] = rest / bb_[k];
        }
        double square = 0.0;
        for (Index j = 0; j < columns_; ++j) square += gradient_[j] * step_[j];
        return std::sqrt(std::abs(square));
    }

    // How many times a Newton step of this decrement to go for the peak along it.
    //
    // The first guess stays inside the box since the density is self-concordant.
    double step_length(double decrement) const {
        double low = 0.0, high = longest(), t = 1.0 / (1.0 + decrement);
        for (int round = 0; round < search_rounds; ++round) {
            const auto [slope, bend] = along(t);
            if (std::abs(slope) < searched * decrement * decrement) break;
            (slope > 0.0 ? low : high) = t;
            t += slope / bend;
            if (t > low && t < high) continue;
            t = high < std::numeric_limits<double>::infinity() ? 0.5 * (low + high) : 4.0 * low;
        }
        return t;
    }

    // How many times the step leads from theta to the first bound of the box.
    double longest() const {
        double most = std::numeric_limits<double>::infinity();
        for (Index j = 0; j < columns_; ++j) {
            if (step_[j] < 0.0) {
                most = std::min(most, theta_[j] / -step_[j]);
            } else if (step_[j] > 0.0) {
                most = std::min(most, (p_.upper[j] - theta_[j]) / step_[j]);
            }
        }
        return most;
    }

    // Slope and negative curvature of the centred density at theta + t step, along the step.
    std::pair<double, double> along(double t) const {
        double slope = 0.0, bend = 0.0;
        for (Index j = 0; j < columns_; ++j) {
            const double below = step_[j] / (theta_[j] + t * step_[j]);
            const double above = step_[j] / (p_.upper[j] - theta_[j] - t * step_[j]);
            slope += below - above - p_.total(j) * step_[j];
            bend += below * below + above * above;
        }
        for (Index k = 0; k < p_.blocks(); ++k) {
            for (Index r = p_.begin_of(k); r < p_.end_of(k); ++r) {
                const double move = p_.product(r, k, step_);
                const double ratio = move / (p_.expected(r, k, theta_) + t * move);
                slope += p_.counts[r] * ratio;
                bend += p_.counts[r] * ratio * ratio;
            }
        }
        return {slope, bend};
    }

    // What follows from the precision: standard deviations, and how backgrounds follow sources.
    Centre spreads() {
        Centre c{{},
                 {},
                 Array<double>({columns_}),
                 Array<double>({backgrounds_}, 0.0),
                 Array<double, 2>({sources_, backgrounds_}, 0.0),
                 Array<double, 2>({sources_, backgrounds_}),
                 0.0};
        Array<double> column({sources_});
        for (Index j = 0; j < columns_; ++j) {
            const bool is_source = j < sources_;
            const Index k = j - sources_;
            for (Index i = 0; i < sources_; ++i) {
                column[i] = is_source ? (i == j ? 1.0 : 0.0) : sb_(i, k);
                for (Index m = 0; m < sources_; ++m) factor_(i, m) = ss_(i, m);
            }
            cholesky_solve(factor_, column);
            if (is_source) {
                c.spread[j] = std::sqrt(column[j]);
                continue;
            }
            double follows = 0.0;
            for (Index i = 0; i < sources_; ++i) {
                follows += column[i] * sb_(i, k);
                c.pull(i, k) = -sb_(i, k) / bb_[k];
            }
            follows = std::max(follows, 0.0);
            if (follows > 0.0) {
                for (Index i = 0; i < sources_; ++i) c.way(i, k) = column[i] / std::sqrt(follows);
            }
            c.shift[k] = std::sqrt(follows / bb_[k]);
            c.spread[j] = std::sqrt((1.0 + follows / bb_[k]) / bb_[k]);
        }
        return c;
    }

    const Compressed& p_;
    const Index sources_ = p_.sources(), backgrounds_ = p_.backgrounds(), columns_ = p_.columns();
    Array<double> theta_{{columns_}}, gradient_{{columns_}}, step_{{columns_}};
    Array<double, 2> ss_{{sources_, sources_}}, sb_{{sources_, backgrounds_}};
    Array<double> bb_{{backgrounds_}};
    Array<double, 2> factor_{{sources_, sources_}};
};

}  // namespace mpiapp
