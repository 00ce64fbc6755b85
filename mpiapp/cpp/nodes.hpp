// Where on [−1, 1] functions are evaluated, to integrate them or to find their Chebyshev series.

#pragma once

#include <array>
#include <cmath>

#include "cpp/arrays.hpp"

namespace mpiapp {

inline const double pi = std::acos(-1.0);

// Ascending nodes of the Gauss–Legendre rule with n nodes, and its weights.
template <Index n>
struct GaussLegendre {
    std::array<double, n> nodes, weights;

    // Newton's method on the Legendre polynomial, from the Chebyshev nodes.
    GaussLegendre() {
        for (Index i = 0; i < (n + 1) / 2; ++i) {
            double x = 2 * i + 1 == n ? 0.0 : std::cos(pi * (i + 0.75) / (n + 0.5)), slope = 0.0;
            for (int round = 0; round < 10; ++round) {
                double now = x, before = 1.0;
                for (Index k = 2; k <= n; ++k) {
                    const double next = ((2 * k - 1) * x * now - (k - 1) * before) / k;
                    before = now;
                    now = next;
                }
                slope = n * (before - x * now) / (1.0 - x * x);
                x -= now / slope;
            }
            nodes[i] = -x;
            nodes[n - 1 - i] = x;
            weights[i] = weights[n - 1 - i] = 2.0 / ((1.0 - x * x) * slope * slope);
        }
    }
};

// Ascending Chebyshev nodes.
inline Array<double> chebyshev_nodes(Index order) {
    Array<double> x({order});
    for (Index i = 0; i < order; ++i) x[i] = -std::cos(pi * (i + 0.5) / order);
    return x;
}

}  // namespace mpiapp
