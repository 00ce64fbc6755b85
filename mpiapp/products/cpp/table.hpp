// A density as a table of equidistant points, as /mpdf keeps it: values, moments, smoothing.
//
// Between the points it is the cubic through the four nearest ones, beyond them it is 0.

#pragma once

#include <algorithm>
#include <cmath>

#include "cpp/arrays.hpp"
#include "cpp/nodes.hpp"

namespace mpiapp {

struct Table {
    double low, high;  // the first and the last point
    View<const double> density;

    struct Moments {
        double mean, std;
    };

    Index points() const { return density.size(); }
    double step() const { return (high - low) / (points() - 1); }
    double x(Index i) const { return low + step() * i; }

    // The density at x.
    double at(double x) const { return low <= x && x <= high ? inside(x) : 0.0; }

    // That at x between low and high, but for rounding; without branches, so that loops become
    // vector instructions.
    double inside(double x) const {
        const int last = static_cast<int>(points()) - 4;
        const double steps = (x - low) / step();
        const int first = std::min(std::max(static_cast<int>(steps) - 1, 0), last);
        const double* const p = density.data();
        const double u = steps - first, a = u - 1.0, b = u - 2.0, c = u - 3.0;
        const double outer = (p[first + 3] * u * a * b - p[first] * a * b * c) / 6.0;
        return std::max(outer + 0.5 * (p[first + 1] * u * b * c - p[first + 2] * u * a * c), 0.0);
    }

    // Gregory's rule, of fourth order at both ends.
    Moments moments() const {
        constexpr double ends[] = {3.0 / 8, 7.0 / 6, 23.0 / 24};  // weights of three points at each
        double m0 = 0.0, m1 = 0.0, m2 = 0.0;
        for (Index i = 0; i < points(); ++i) {
            const Index edge = std::min(i, points() - 1 - i);
            const double weight = (edge < 3 ? ends[edge] : 1.0) * density[i];
            m0 += weight;
            m1 += weight * i;
            m2 += weight * i * i;
        }
        const double mean = m1 / m0;
        return {low + step() * mean, step() * std::sqrt(std::max(m2 / m0 - mean * mean, 0.0))};
    }
};

// Densities of n values: low, high (n), density (n, points).
struct Tables {
    View<const double> low, high;
    View<const double, 2> density;

    Table operator[](Index i) const { return {low[i], high[i], density[i]}; }
    Index size() const { return low.size(); }
    Index points() const { return density.shape(1); }
};

struct TableArrays {
    Array<double> low, high;
    Array<double, 2> density;

    TableArrays(Index n, Index points) : low({n}), high({n}), density({n, points}) {}
    Tables view() const { return {low, high, density}; }
};

// The densities smoothed by the catalog's kernel and cut at 0, not normalised.
//
// bandwidth : half-width of the kernel, in standard deviations of each density.
inline TableArrays smoothed(const Tables& tables, double bandwidth) {
    static const GaussLegendre<8> rule;
    const double *const node = rule.nodes.data(), *const weight = rule.weights.data();
    TableArrays out(tables.size(), tables.points());
    for (Index i = 0; i < tables.size(); ++i) {
        const Table table = tables[i];
        const double h = bandwidth * table.moments().std;
        out.low[i] = std::max(table.low - h, 0.0);
        out.high[i] = table.high + h;
        for (Index j = 0; j < tables.points(); ++j) {
            const double y = out.view()[i].x(j);
            const double left = std::max(y - h, table.low), right = std::min(y + h, table.high);
            double total = 0.0;
            for (Index k = 0; k < 8; ++k) {
                const double x = 0.5 * (left + right + (right - left) * node[k]);
                const double z = (y - x) / h;
                total += weight[k] * (1.0 - z * z) * table.inside(x);
            }
            out.density(i, j) = std::max(0.375 / h * (right - left) * total, 0.0);
        }
    }
    return out;
}

}  // namespace mpiapp
