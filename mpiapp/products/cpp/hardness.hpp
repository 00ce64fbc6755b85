// Hardness ratios H = (x − y)/(x + y) of two bands, from the densities of their photon fluxes.
//
// The bands of a source are measured independently, so with F = x + y
//
//     p(H) = ∫₀^∞ p_x((1+H)F/2) p_y((1−H)F/2) F/2 dF,
//
// a quadrature without noise (CSC, "Spectral Properties").  It is done in w = (a − b)/(a + b) with
// a = x/x̄ and b = y/ȳ, which has no corner where one band is much brighter than the other: H is a
// fraction of first order in w.

#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpp/arrays.hpp"
#include "cpp/nodes.hpp"
#include "products/cpp/table.hpp"

namespace mpiapp {

constexpr Index hardness_points = 97;

// The fluxes x̄ and ȳ, and what follows from them.
struct FluxUnits {
    double x, y;

    static double ratio(double a, double b) { return (a - b) / (a + b); }

    double hardness(double w) const { return ratio(x * (1.0 + w), y * (1.0 - w)); }
    double w(double hardness) const { return ratio(y * (1.0 + hardness), x * (1.0 - hardness)); }

    // dw/dH: a density of w times this is one of H.
    double per_hardness(double w) const {
        const double total = x * (1.0 + w) + y * (1.0 - w);
        return total * total / (4.0 * x * y);
    }

    Table scaled_x(const Table& t) const { return {t.low / x, t.high / x, t.density}; }
    Table scaled_y(const Table& t) const { return {t.low / y, t.high / y, t.density}; }
};

// The density of w, ∫ p_a((1+w)s) p_b((1−w)s) 2s ds, not normalised.
inline double density_of_w(const Table& a, const Table& b, double w) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    constexpr Index nodes = 32;
    static const GaussLegendre<nodes> rule;
    const double p = 1.0 + w, q = 1.0 - w;
    const double left = std::max(a.low > 0.0 ? a.low / p : 0.0, b.low > 0.0 ? b.low / q : 0.0);
    const double right = std::min(p > 0.0 ? a.high / p : infinity, q > 0.0 ? b.high / q : infinity);
    if (!(left < right)) return 0.0;
    const double half = 0.5 * (right - left);
    const double *const node = rule.nodes.data(), *const weight = rule.weights.data();
    double total = 0.0;
    for (Index k = 0; k < nodes; ++k) {
        const double s = left + half * (1.0 + node[k]);
        total += weight[k] * a.inside(p * s) * b.inside(q * s) * s;
    }
    return 2.0 * half * total;
}

// Tabulates into out the density of w where there is any, not normalised.
inline Table tabulate_w(const Table& a, const Table& b, View<double> out) {
    constexpr Index coarse = 25;
    constexpr double nothing = 1e-11;  // of the highest density, what is left out at both ends
    double begin = FluxUnits::ratio(a.low, b.high), end = FluxUnits::ratio(a.high, b.low);
    bool is_narrow = true;
    for (int round = 0; round < 8 && is_narrow; ++round) {
        const double step = (end - begin) / (coarse - 1);
        double found[coarse], peak = 0.0;
        for (Index i = 0; i < coarse; ++i) {
            found[i] = density_of_w(a, b, begin + step * i);
            peak = std::max(peak, found[i]);
        }
        Index first = 0, last = coarse - 1;
        while (first < last && found[first] < nothing * peak) ++first;
        while (last > first && found[last] < nothing * peak) --last;
        end = begin + step * std::min(last + 1, coarse - 1);
        begin += step * std::max(first - 1, Index{0});
        is_narrow = last - first < coarse / 4;
    }
    const Table w{begin, end, out};
    for (Index i = 0; i < out.size(); ++i) out[i] = density_of_w(a, b, w.x(i));
    return w;
}

// The w at which H has its mode: where the quartic through the five highest points peaks.
inline double mode_w(const Table& w, const FluxUnits& units) {
    const Index n = w.points();
    double f[hardness_points];
    Index best = 0;
    for (Index i = 0; i < n; ++i) {
        f[i] = w.density[i] * units.per_hardness(w.x(i));
        if (f[i] > f[best]) best = i;
    }
    if (best == 0 || best == n - 1) return w.x(best);
    const Index centre = std::min(std::max(best, Index{2}), n - 3);
    const double a = f[centre - 2], b = f[centre - 1], c = f[centre], d = f[centre + 1],
                 e = f[centre + 2];
    // derivatives at the middle point
    const double d1 = (a - 8.0 * b + 8.0 * d - e) / 12.0;
    const double d2 = (-a + 16.0 * b - 30.0 * c + 16.0 * d - e) / 12.0;
    const double d3 = (-a + 2.0 * b - 2.0 * d + e) / 2.0;
    const double d4 = a - 4.0 * b + 6.0 * c - 4.0 * d + e;
    const double start = best - centre;
    double u = start;
    for (int round = 0; round < 8; ++round) {
        const double slope = d1 + u * (d2 + u * (d3 / 2.0 + u * d4 / 6.0));
        const double curvature = d2 + u * (d3 + u * d4 / 2.0);
        if (curvature >= 0.0) break;
        u = std::min(std::max(u - slope / curvature, start - 1.0), start + 1.0);
    }
    return w.low + w.step() * (centre + u);
}

// The integral of a table up to any point, by cubics.
class Cumulative {
  public:
    explicit Cumulative(const Table& table) : table_(table) {
        const auto p = table.density;
        const Index n = table.points();
        up_to_[0] = 0.0;
        for (Index i = 0; i + 1 < n; ++i) {
            // of the cubic through four points, between the first two, the middle or the last two
            const Index k = std::min(std::max(i - 1, Index{0}), n - 4);
            const double part = i == k ? 9.0 * p[k] + 19.0 * p[k + 1] - 5.0 * p[k + 2] + p[k + 3]
                                : i == k + 1
                                    ? -p[k] + 13.0 * p[k + 1] + 13.0 * p[k + 2] - p[k + 3]
                                    : p[k] - 5.0 * p[k + 1] + 19.0 * p[k + 2] + 9.0 * p[k + 3];
            up_to_[i + 1] = up_to_[i] + part * table.step() / 24.0;
        }
    }

    double total() const { return up_to_[table_.points() - 1]; }

    // By the cubic with the values and slopes at the two points beside x.
    double operator()(double x) const {
        const double place = (x - table_.low) / table_.step();
        if (place <= 0.0) return 0.0;
        if (place >= table_.points() - 1) return total();
        const Index i = static_cast<Index>(place);
        const double u = place - i, rise = up_to_[i + 1] - up_to_[i];
        const double left = table_.density[i] * table_.step();
        const double right = table_.density[i + 1] * table_.step();
        return up_to_[i] +
               u * (left + u * (3.0 * rise - 2.0 * left - right + u * (left + right - 2.0 * rise)));
    }

  private:
    Table table_;
    double up_to_[hardness_points];
};

// Fills out (3) with the mode of H and the bounds that, growing symmetrically about it, enclose
// `level` of a density of w; a bound that reaches −1 or 1 stays there.
inline void summarise_hardness(const Table& w, const FluxUnits& units, double level,
                               View<double> out) {
    const Cumulative below(w);
    const double mode = units.hardness(mode_w(w, units));
    double narrow = 0.0, wide = 2.0;
    for (int round = 0; round < 60; ++round) {
        const double width = 0.5 * (narrow + wide);
        const double inside = below(units.w(std::min(mode + width, 1.0))) -
                              below(units.w(std::max(mode - width, -1.0)));
        (inside < level * below.total() ? narrow : wide) = width;
    }
    out[0] = mode;
    out[1] = std::max(mode - wide, -1.0);
    out[2] = std::min(mode + wide, 1.0);
}

// (n, 3) mode, lolim and hilim of the hardness ratios of fluxes x in the harder and y in the softer
// band.
inline Array<double, 2> hardness_ratios(const Tables& x, const Tables& y, double level) {
    Array<double, 2> out({x.size(), 3});
    Array<double> density({hardness_points});
    for (Index i = 0; i < x.size(); ++i) {
        const FluxUnits units{x[i].moments().mean, y[i].moments().mean};
        const Table w = tabulate_w(units.scaled_x(x[i]), units.scaled_y(y[i]), density);
        summarise_hardness(w, units, level, out[i]);
    }
    return out;
}

// Densities of H at equidistant points of w, 1 at most, with mean and rms of H.
struct HardnessTables {
    TableArrays w;
    Array<double> mean, rms;
};

// x_unit, y_unit : (n) alike for all measurements that are compared, so that their w are.
inline HardnessTables hardness_tables(const Tables& x, const Tables& y, View<const double> x_unit,
                                      View<const double> y_unit) {
    const Index n = x.size();
    HardnessTables out{{n, hardness_points}, Array<double>({n}), Array<double>({n})};
    for (Index i = 0; i < n; ++i) {
        const FluxUnits units{x_unit[i], y_unit[i]};
        const View<double> density = out.w.density[i];
        const Table w = tabulate_w(units.scaled_x(x[i]), units.scaled_y(y[i]), density);
        // moments about it lose no digits to 1 where all H are near that
        const double middle = units.hardness(w.x(hardness_points / 2));
        double m0 = 0.0, m1 = 0.0, m2 = 0.0, peak = 0.0;
        for (Index k = 0; k < hardness_points; ++k) {
            const double h = units.hardness(w.x(k)) - middle;
            const bool is_end = k == 0 || k == hardness_points - 1;
            const double weight = (is_end ? 0.5 : 1.0) * density[k];
            m0 += weight;
            m1 += weight * h;
            m2 += weight * h * h;
            density[k] *= units.per_hardness(w.x(k));
            peak = std::max(peak, density[k]);
        }
        for (double& p : density) p /= peak;
        out.w.low[i] = w.low;
        out.w.high[i] = w.high;
        out.mean[i] = middle + m1 / m0;
        out.rms[i] = std::sqrt(m2 / m0 - m1 / m0 * (m1 / m0));
    }
    return out;
}

}  // namespace mpiapp
