// A problem as samplers and quadrature want it: rows with counts alone, backgrounds apart.

#pragma once

#include <algorithm>

#include "cpp/arrays.hpp"

namespace mpiapp {

// Rows without counts enter the likelihood through column sums alone.  Members are those of the
// named tuple in compressed.py, which says what they are.
struct Compressed {
    View<const Index> rows;
    View<const double> counts;
    View<const double, 2> f;
    View<const double> omega, offset;
    View<const Index> first;
    View<const double> f_sum, omega_sum, upper;

    Index sources() const { return f_sum.size(); }
    Index backgrounds() const { return omega_sum.size(); }
    Index columns() const { return sources() + backgrounds(); }

    // Frozen backgrounds make one block of rows.
    Index blocks() const { return std::max<Index>(backgrounds(), 1); }
    Index begin_of(Index block) const { return backgrounds() ? first[block] : 0; }
    Index end_of(Index block) const { return backgrounds() ? first[block + 1] : counts.size(); }

    // Column sum of F.
    double total(Index column) const {
        return column < sources() ? f_sum[column] : omega_sum[column - sources()];
    }

    // What a row expects of theta (columns).
    double expected(Index row, Index block, View<const double> theta) const {
        double mu = offset[row];
        if (backgrounds()) mu += omega[row] * theta[sources() + block];
        for (Index j = 0; j < sources(); ++j) mu += f(row, j) * theta[j];
        return mu;
    }
};

}  // namespace mpiapp
