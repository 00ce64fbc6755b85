// Points of the unit cube as values of the other sources, for a marginal of several sources.
//
// They become values one after the other, each by the inverse distribution function of a logistic
// density that is cut at the prior bounds and has the slope and the curvature of the fitted
// conditional density.  Its tails are those of an exponential, so that no posterior outruns it:
// log-concave densities never fall more slowly, and a source without counts has just that density.

#pragma once

#include "cpp/log_exp.hpp"
#include "engines/cpp/lines.hpp"

namespace mpiapp {

class ConditionalMap {
  public:
    // Fit the conditional density of each source given those before it in the order, of which
    // `first` is the first.
    //
    // The quadratic at the centre theta, sources that come later integrated out with their
    // barriers in place of the bounds, and its own barrier taken away.
    ConditionalMap(View<const double, 2> precision, View<const double> theta,
                   View<const double> upper, Index first)
        : n_(precision.size()), theta_(theta), upper_(upper) {
        order_[0] = first;
        for (Index j = 0, i = 1; j < n_; ++j) {
            if (j != first) order_[i++] = j;
        }
        Array<double, 2> a({n_, n_});
        for (Index i = 0; i < n_; ++i) {
            for (Index j = 0; j < n_; ++j) a(i, j) = precision(order_[i], order_[j]);
        }
        for (Index i = n_ - 1; i >= 0; --i) {
            const double below = theta[order_[i]], above = upper[order_[i]] - below;
            const double barrier = 1.0 / (below * below) + 1.0 / (above * above);
            side_[i] = below < above ? 1.0 : -1.0;
            bend_[i] = std::max(a(i, i) - barrier, 1e-9 * a(i, i));
            own_[i] = side_[i] * (1.0 / below - 1.0 / above) - bend_[i] * std::min(below, above);
            for (Index p = 0; p < i; ++p) {
                pulls_(i, p) = side_[i] * a(i, p);
                for (Index q = 0; q < i; ++q) a(p, q) -= a(i, p) * a(i, q) / a(i, i);
            }
        }
        spread_ = 1.0 / std::sqrt(a(0, 0));
    }

    Index size() const { return n_; }
    Index first() const { return order_[0]; }

    // Standard deviation of the first source.
    double spread() const { return spread_; }

    // Fill in the other sources of s (n, lanes) from u (n − 1, lanes), given the first.
    //
    // weight : (lanes) the inverse density of the map; b : (lanes) scratch.  Distances x are from
    // that bound of the prior to which the centre is closer.
    void fill(View<const double, 2> u, View<double, 2> s, Lanes weight, Lanes b) const {
        weight.fill(1.0);
        for (Index n = 1; n < n_; ++n) {
            b.fill(own_[n]);
            for (Index p = 0; p < n; ++p) {
                const Index before = order_[p];
                const double pull = pulls_(n, p), middle = theta_[before];
                for (Index i = 0; i < b.size(); ++i) b[i] += pull * (s(before, i) - middle);
            }
            invert(bend_[n], upper_[order_[n]], side_[n], b, u[n - 1], s[order_[n]], weight);
        }
    }

  private:
    static constexpr double curvature = 2.4;  // of the logistic at its peak would be 2; more makes
                                              // the map narrower

    static void invert(double a, double top, double side, ConstLanes b, ConstLanes u, Lanes s,
                       Lanes weight) {
        for (Index i = 0; i < b.size(); ++i) {
            // Where the fitted density times x peaks: its slope there is 1/x, its curvature a.
            const double root = std::sqrt(b[i] * b[i] + 4.0 * a);
            const double mode = b[i] > 0.0 ? 2.0 / (b[i] + root) : 0.5 * (root - b[i]) / a;
            const double x0 = std::min(mode, top);
            const double rate = std::sqrt(curvature * a + 1.0 / (x0 * x0));
            const double tilt = 1.0 / (rate * x0), odds = (1.0 + tilt) / (1.0 - tilt);
            double low = quick_exp(-x0 * rate) * odds, high = quick_exp((x0 - top) * rate) / odds;
            low = low / (1.0 + low);
            high = high / (1.0 + high);
            const double mass = 1.0 - low - high;
            const double left = low + u[i] * mass, right = high + (1.0 - u[i]) * mass;
            double x = x0 + quick_log(left / (right * odds)) / rate;
            x = std::min(std::max(x, 1e-12 * x0), top);
            weight[i] *= mass / (left * right * rate);
            s[i] = side > 0.0 ? x : top - x;
        }
    }

    Index n_;
    View<const double> theta_, upper_;
    Array<Index> order_{{n_}};
    Array<double, 2> pulls_{{n_, n_}, 0.0};
    Array<double> own_{{n_}}, bend_{{n_}}, side_{{n_}};
    double spread_;
};

}  // namespace mpiapp
