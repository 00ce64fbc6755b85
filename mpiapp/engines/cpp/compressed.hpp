// A problem as samplers and quadrature want it: rows with counts alone, backgrounds apart.

#pragma once

#include <algorithm>

#include "cpp/arrays.hpp"

namespace mpiapp {

// Rows without counts enter the likelihood through column sums alone, so they are left out.
// Members are those of the named tuple in compressed.py, which says what they are.
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

    // F·θ of a row for theta (columns), the frozen part apart.
    double product(Index row, Index block, View<const double> theta) const {
        double sum = backgrounds() ? omega[row] * theta[sources() + block] : 0.0;
        for (Index j = 0; j < sources(); ++j) sum += f(row, j) * theta[j];
        return sum;
    }

    // What a row expects of theta (columns).
    double expected(Index row, Index block, View<const double> theta) const {
        return offset[row] + product(row, block, theta);
    }
};

// A problem as it is given: row_obsid, which is the number of each row's background.
struct Given {
    View<const double> counts;
    View<const double, 2> F;
    View<const double> offset;
    View<const Index> row_obsid;
    View<const double> upper;
    Index sources;
};

// The arrays of a `Compressed`, and the first row whose counts nothing explains, or −1.
struct CompressedArrays {
    Index impossible = -1;
    Array<Index> rows;
    Array<double> counts;
    Array<double, 2> f;
    Array<double> omega, offset;
    Array<Index> first;
    Array<double> f_sum, omega_sum, upper;

    CompressedArrays() = default;

    explicit CompressedArrays(const Compressed& p)
        : rows(p.rows),
          counts(p.counts),
          f(p.f),
          omega(p.omega),
          offset(p.offset),
          first(p.first),
          f_sum(p.f_sum),
          omega_sum(p.omega_sum),
          upper(p.upper) {}

    Compressed view() const {
        return {rows, counts, f, omega, offset, first, f_sum, omega_sum, upper};
    }
};

inline CompressedArrays compress(const Given& p) {
    const Index columns = p.F.shape(1), sources = p.sources, backgrounds = columns - sources;
    CompressedArrays out;
    Array<double> sums({columns}, 0.0);
    Array<Index> rows({p.counts.size()});
    out.first = Array<Index>({backgrounds + 1}, 0);
    Index n = 0;
    for (Index r = 0; r < p.counts.size(); ++r) {
        bool is_seen = false;
        for (Index j = 0; j < columns; ++j) {
            sums[j] += p.F(r, j);
            is_seen = is_seen || p.F(r, j) != 0.0;
        }
        if (p.counts[r] == 0.0) continue;
        if (!is_seen) {
            if (p.offset[r] <= 0.0 && out.impossible < 0) out.impossible = r;
            continue;
        }
        rows[n++] = r;
        if (backgrounds) ++out.first[p.row_obsid[r] + 1];
    }
    for (Index k = 0; k < backgrounds; ++k) out.first[k + 1] += out.first[k];
    out.rows = Array<Index>(View<const Index>(rows.part(0, n)));
    out.counts = Array<double>({n});
    out.f = Array<double, 2>({n, sources});
    out.omega = Array<double>({n}, 0.0);
    out.offset = Array<double>({n});
    for (Index i = 0; i < n; ++i) {
        const Index r = rows[i];
        out.counts[i] = p.counts[r];
        out.offset[i] = p.offset[r];
        for (Index j = 0; j < sources; ++j) out.f(i, j) = p.F(r, j);
        if (backgrounds) out.omega[i] = p.F(r, sources + p.row_obsid[r]);
    }
    const View<const double> all = sums;
    out.f_sum = Array<double>(all.part(0, sources));
    out.omega_sum = Array<double>(all.part(sources, columns));
    out.upper = Array<double>(p.upper);
    return out;
}

}  // namespace mpiapp
