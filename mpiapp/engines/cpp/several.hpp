// Marginal densities of several sources, by quadrature instead of draws.
//
// Backgrounds are integrated out obsid by obsid (background_integrals.hpp).  The marginal of source
// j is wanted at a few values t of s_j, and there the other sources are integrated out: points of
// the unit cube become their values (conditional_map.hpp).  The same points serve all t, so that
// most of their error cancels in the shape.

#pragma once

#include "cpp/vectorised.hpp"
#include "engines/cpp/background_rules.hpp"
#include "engines/cpp/centre.hpp"
#include "engines/cpp/chebyshev_grids.hpp"
#include "engines/cpp/conditional_map.hpp"

namespace mpiapp {

// Points of the unit cube, (n, dimensions), and their weights (1 + repeats, n) in an integral and
// in repeats that tell its error.
struct Cubature {
    View<const double, 2> points, weights;
};

// What is known beforehand of the posterior of a problem every source of which some aperture sees.
struct Fit {
    Compressed model;
    Centre centre;
    BackgroundRules rules;
    Array<double> reach;  // (columns) that no number exceeds, even beyond the prior's bound
    bool is_found;        // whether the centre is one
};

constexpr double found_within = 1e-3;  // standard deviations that a centre may be off
constexpr double fit_reach = 13.0;     // that no density's Eq. 11 exceeds: docs/engine-exact.md

inline Fit fit_posterior(const Compressed& p) {
    Fit fit{p, CentreSearch(p).find(), {}, Array<double>({p.columns()}), false};
    const Centre& c = fit.centre;
    for (Index j = 0; j < p.columns(); ++j) fit.reach[j] = c.theta[j] + fit_reach * c.spread[j];
    fit.is_found = c.decrement < found_within;
    fit.rules = RuleFinder(p, c).find();
    return fit;
}

// The joint density of one source and the points that stand for the others, many at once.
class SliceDensity {
  public:
    // most : of the values t, or of the points of one call
    SliceDensity(const Fit& fit, const ConditionalMap& map, Index most)
        : fit_(fit), map_(map), most_lanes_(std::max(lanes_at_once, most)) {}

    // out (points, t), written: log density times the inverse density of the map.
    VECTORISED void fill(View<const double> t, View<const double, 2> points, View<double, 2> out) {
        const Index many = t.size(), n = map_.size();
        const Index group = std::min(std::max<Index>(lanes_at_once / many, 1), points.size());
        const Index lanes = group * many;
        const View<double, 2> s(s_.data(), {n, lanes}), u(u_.data(), {n, lanes});
        const View<double, 2> mu(mu_.data(), {fit_.model.counts.size(), lanes});
        const View<double, 2> scratch(scratch_.data(), {integral_scratch, lanes});
        const Lanes weight = weight_.part(0, lanes), value = value_.part(0, lanes);
        for (Index z = 0; z < points.size(); z += group) {
            for (Index g = 0; g < group; ++g) {
                const Index point = std::min(z + g, points.size() - 1), first = g * many;
                std::copy(t.begin(), t.end(), s[map_.first()].begin() + first);
                for (Index d = 0; d < n - 1; ++d) {
                    std::fill_n(u[d].begin() + first, many, points(point, d));
                }
            }
            map_.fill(u, s, weight, value);
            log_likelihood(fit_.model, fit_.rules, s, mu, scratch, value);
            const Index here = std::min(group, points.size() - z);
            for (Index i = 0; i < here * many; ++i) {
                out.data()[z * many + i] = value[i] + quick_log(weight[i]);
            }
        }
    }

  private:
    static constexpr Index lanes_at_once = 128;

    const Fit& fit_;
    const ConditionalMap& map_;
    Index most_lanes_;
    Array<double, 2> s_{{map_.size(), most_lanes_}}, u_{{map_.size(), most_lanes_}};
    Array<double, 2> mu_{{fit_.model.counts.size(), most_lanes_}};
    Array<double, 2> scratch_{{integral_scratch, most_lanes_}};
    Array<double> weight_{{most_lanes_}}, value_{{most_lanes_}};
};

constexpr double several_drop = 16.0;  // log of the peak over the density at the range's ends
constexpr double steps_out[] = {0.0, 1.5,  2.5,  3.5,  4.5,  5.5,  7.0,
                                9.0, 12.0, 16.0, 22.0, 30.0, 50.0, 100.0};

struct Ends {
    double lo, hi, top;  // top : the log density at the peak
};

// Where the density at the middle of the cube has fallen, within [0, upper].
//
// Steps of growing length from the peak find an interval on either side, equal steps narrow it.
inline Ends find_ends(SliceDensity& density, Index dimensions, double peak, double sigma,
                      double upper) {
    constexpr Index steps = std::size(steps_out);
    Array<double> t({2 * steps});
    Array<double, 2> rough({1, 2 * steps});
    const Array<double, 2> middle({1, dimensions}, 0.5);
    for (Index i = 0; i < steps; ++i) {
        t[i] = std::max(peak - sigma * steps_out[i], 0.0);
        t[steps + i] = std::min(peak + sigma * steps_out[i], upper);
    }
    double ends[2], top = -std::numeric_limits<double>::infinity();
    for (int round = 0; round < 2; ++round) {
        density.fill(t, middle, rough);
        for (double x : rough[0]) top = std::max(top, x);
        for (Index side = 0; side < 2; ++side) {
            const View<double> at = t.part(side * steps, (side + 1) * steps);
            const View<double> here = rough[0].part(side * steps, (side + 1) * steps);
            double inner = at[0], outer = at[steps - 1];
            for (Index i = 1; i < steps; ++i) {
                if (!(here[i] < top - several_drop)) continue;
                inner = at[i - 1];
                outer = at[i];
                break;
            }
            ends[side] = outer;
            for (Index i = 0; i < steps; ++i) {
                at[i] = inner + (outer - inner) * (static_cast<double>(i) / (steps - 1));
            }
        }
    }
    return {ends[0], ends[1], top};
}

// A density and its repeats, from one set of points.
struct Repeats {
    double lo, hi;
    Matrix series;  // (1 + repeats, order) the density, and its repeats; none if it is not finite
    double error;   // the standard error of mean and standard deviation, in standard deviations
    double ripple;  // the largest of the last coefficients of the logarithm, which is about how
                    // many half-widths its series is off
};

constexpr double ripple_allowed = 0.001;
constexpr double negligible = 1e-8;  // of the largest term, what the last ones may be

inline double largest(View<const double> values) {
    double found = 0.0;
    for (double x : values) found = std::max(found, std::abs(x));
    return found;
}

// The standard error of mean and standard deviation of the densities after the first.
//
// x, weight : (order) nodes and their Gauss–Chebyshev weights; density : (1 + repeats, order)
inline double moments_error(View<const double> x, View<const double> weight,
                            View<const double, 2> density) {
    const Index n = density.size() - 1;
    double mean_sum = 0.0, mean_square = 0.0, std_sum = 0.0, std_square = 0.0;
    for (Index k = 1; k <= n; ++k) {
        double m0 = 0.0, m1 = 0.0, m2 = 0.0;
        for (Index i = 0; i < x.size(); ++i) {
            const double w = weight[i] * density(k, i);
            m0 += w;
            m1 += w * x[i];
            m2 += w * x[i] * x[i];
        }
        const double mean = m1 / m0, std = std::sqrt(std::max(m2 / m0 - mean * mean, 0.0));
        mean_sum += mean;
        mean_square += mean * mean;
        std_sum += std;
        std_square += std * std;
    }
    const double mean = mean_sum / n, std = std_sum / n;
    const double scatter =
        std::max(mean_square / n - mean * mean, 0.0) + std::max(std_square / n - std * std, 0.0);
    return std::sqrt(scatter / std::max<Index>(n - 1, 1)) / std;
}

// e to the log densities, that of the top as 1; in their place.
VECTORISED inline void exponentials(View<double, 2> logs, double top) {
    for (double& value : logs) value = quick_exp(std::min(value - top, 600.0));
}

// The marginal of one source of a fit, and its repeats; see `Repeats`.
class MarginalFinder {
  public:
    MarginalFinder(const Fit& fit, Index column)
        : map_(fit.centre.precision, fit.centre.theta, fit.model.upper, column),
          density_(fit, map_, most_values),
          ends_(find_ends(density_, map_.size() - 1, fit.centre.theta[column], map_.spread(),
                          fit.model.upper[column])) {}

    Repeats find(const Cubature& cubature) {
        constexpr double infinite = std::numeric_limits<double>::infinity();
        const ChebyshevGrids& g = grids();
        Repeats found{ends_.lo, ends_.hi, {}, infinite, infinite};
        Matrix logs;
        std::size_t order = 0;
        for (std::size_t o = 0; o < g.orders.size(); ++o) {
            order = o;
            logs = values(g.x[o], cubature);
            for (double& value : logs) {
                if (!(0.0 < value && value < infinite)) return found;
                value = std::log(value);
            }
            found.ripple = largest(product(logs.part(0, 1), g.last[o])[0]);
            if (found.ripple < ripple_allowed) break;
        }
        for (std::size_t m = 0; m < g.finer_orders.size(); ++m) {
            auto density = product(logs, g.finer[m][order]);
            for (double& value : density) value = std::exp(value);
            found.series = product(density, g.series[m]);
            found.error = moments_error(g.at[m], g.weight[m], density);
            const View<const double> best = found.series[0];
            const double last = largest(best.part(best.size() - 3, best.size()));
            if (last < negligible * largest(best)) break;
        }
        return found;
    }

  private:
    static constexpr Index most_values = ChebyshevGrids::orders.back();

    // (1 + repeats, nodes) the density at nodes x of its range, up to a common factor.
    Matrix values(View<const double> x, const Cubature& cubature) {
        Array<double> t({x.size()});
        for (Index i = 0; i < x.size(); ++i) {
            t[i] = ends_.lo + 0.5 * (ends_.hi - ends_.lo) * (1.0 + x[i]);
        }
        Matrix density({cubature.points.size(), x.size()});
        density_.fill(t, cubature.points, density);
        exponentials(density, ends_.top);
        return product(cubature.weights, density);
    }

    ConditionalMap map_;
    SliceDensity density_;
    Ends ends_;
};

}  // namespace mpiapp
