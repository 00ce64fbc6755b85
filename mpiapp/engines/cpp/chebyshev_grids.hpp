// Matrices that turn a density at a few Chebyshev nodes into a series, by way of its logarithm.

#pragma once

#include <array>

#include "cpp/arrays.hpp"
#include "cpp/nodes.hpp"
#include "cpp/vectorised.hpp"

namespace mpiapp {

using Matrix = Array<double, 2>;

// a (n, m), which may be sparse, times b (m, k).
VECTORISED inline Matrix product(View<const double, 2> a, View<const double, 2> b) {
    Matrix out({a.size(), b.shape(1)}, 0.0);
    for (Index i = 0; i < a.size(); ++i) {
        for (Index j = 0; j < b.size(); ++j) {
            const double x = a(i, j);
            for (Index k = 0; x != 0.0 && k < b.shape(1); ++k) out(i, k) += x * b(j, k);
        }
    }
    return out;
}

// Matrix (n, n) from values at n nodes to coefficients: T_k(cos φ) = cos kφ.
inline Matrix values_to_series(Index n) {
    Matrix out({n, n});
    for (Index i = 0; i < n; ++i) {
        for (Index k = 0; k < n; ++k) {
            out(i, k) = (k ? 2.0 : 1.0) / n * std::cos(k * pi * (n - i - 0.5) / n);
        }
    }
    return out;
}

// Matrix (n, m) from values at n nodes to values at m nodes.
inline Matrix values_to_values(Index n, Index m) {
    Matrix to_values({n, m});
    for (Index k = 0; k < n; ++k) {
        for (Index j = 0; j < m; ++j) to_values(k, j) = std::cos(k * pi * (m - j - 0.5) / m);
    }
    return product(values_to_series(n), to_values);
}

struct ChebyshevGrids {
    // Of the logarithm of a density: nodes, and matrices from values there to the last
    // coefficients; tried one after the other.
    static constexpr std::array<Index, 3> orders{16, 32, 64};
    static constexpr Index last_ones = 3;
    std::array<Array<double>, 3> x;
    std::array<Matrix, 3> last;
    // Of the density itself: nodes, their Gauss–Chebyshev weights, matrices from values there to
    // coefficients, and from values of the logarithm to values here.
    static constexpr std::array<Index, 2> finer_orders{48, 96};
    std::array<Array<double>, 2> at, weight;
    std::array<Matrix, 2> series;
    std::array<std::array<Matrix, 3>, 2> finer;

    ChebyshevGrids() {
        for (std::size_t o = 0; o < orders.size(); ++o) {
            const Index n = orders[o];
            x[o] = chebyshev_nodes(n);
            const auto all = values_to_series(n);
            last[o] = Matrix({n, last_ones});
            for (Index i = 0; i < n; ++i) {
                for (Index k = 0; k < last_ones; ++k) last[o](i, k) = all(i, n - last_ones + k);
            }
        }
        for (std::size_t m = 0; m < finer_orders.size(); ++m) {
            const Index n = finer_orders[m];
            at[m] = chebyshev_nodes(n);
            weight[m] = Array<double>({n});
            for (Index i = 0; i < n; ++i) weight[m][i] = std::sqrt(1.0 - at[m][i] * at[m][i]);
            series[m] = values_to_series(n);
            for (std::size_t o = 0; o < orders.size(); ++o) {
                finer[m][o] = values_to_values(orders[o], n);
            }
        }
    }
};

inline const ChebyshevGrids& grids() {
    static const ChebyshevGrids made;
    return made;
}

}  // namespace mpiapp
