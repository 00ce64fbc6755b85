// Problems in units of their own, in which equal data in other units are the same problem, and
// what was found of them in the units in which they were given.

#pragma once

#include <cmath>
#include <limits>

#include "cpp/log_exp.hpp"
#include "engines/cpp/compressed.hpp"

namespace mpiapp {

// n problems of one shape: counts, offset (n, rows); F (n, rows, columns); row_obsid (rows);
// upper (n, columns).
struct Batch {
    View<const double, 2> counts;
    View<const double, 3> F;
    View<const double, 2> offset;
    View<const Index> row_obsid;
    View<const double, 2> upper;
    Index sources;

    Index size() const { return F.shape(0); }
    Index columns() const { return F.shape(2); }
};

// Write the problem in its own units: the largest element of each column of F is one, F is
// rounded to 40 bits, and priors end where nothing is left of the likelihood.
//
// room : how many times where the likelihood ends the priors of the sources may reach; those of
//     backgrounds, which nothing smooths, end there
// units : (columns), written, by which θ are divided to be those of the given problem
inline void to_own_units(View<const double> counts, View<const double, 2> F,
                         View<const double> upper, Index sources, double room,
                         View<double, 2> F_out, View<double> upper_out, View<double> units) {
    const Index rows = F.shape(0), columns = F.shape(1);
    Array<double> seen({columns}, 1.0), total({columns}, 0.0);
    units.fill(0.0);
    for (Index r = 0; r < rows; ++r) {
        for (Index j = 0; j < columns; ++j) units[j] = std::max(units[j], F(r, j));
    }
    for (double& unit : units) unit = unit > 0.0 ? unit : 1.0;
    for (Index r = 0; r < rows; ++r) {
        for (Index j = 0; j < columns; ++j) {
            F_out(r, j) = round_to_40_bits(F(r, j) / units[j]);
            seen[j] += F(r, j) > 0.0 ? counts[r] : 0.0;
            total[j] += F_out(r, j);
        }
    }
    for (Index j = 0; j < columns; ++j) {
        // Without the other columns θ_j follows a Gamma of the counts that it sees; with them
        // less.
        const double beyond = seen[j] + 7.0 * std::sqrt(seen[j]) + 24.0;
        upper_out[j] = upper[j] * units[j];
        if (total[j] > 0.0) {
            upper_out[j] = std::min(upper_out[j], j < sources ? beyond * room : beyond / total[j]);
        }
    }
}

// The problems of a batch in their own units.
struct OwnProblems {
    Array<Index> same;  // (n) the problem before that it is in other units, or itself
    Array<double, 3> F;
    Array<double, 2> upper, units;

    bool is_scaled(Index i) const { return same[i] < i; }
};

template <int N>
bool are_equal(View<const double, N> one, View<const double, N> other) {
    return std::equal(one.begin(), one.end(), other.begin());
}

inline OwnProblems own_problems(const Batch& given, double room) {
    OwnProblems own{Array<Index>({given.size()}), Array<double, 3>(given.F.shape()),
                    Array<double, 2>(given.upper.shape()), Array<double, 2>(given.upper.shape())};
    const View<const double, 3> F = own.F;
    const View<const double, 2> upper = own.upper;
    for (Index i = 0; i < given.size(); ++i) {
        to_own_units(given.counts[i], given.F[i], given.upper[i], given.sources, room, own.F[i],
                     own.upper[i], own.units[i]);
        own.same[i] = i;
        if (i == 0) continue;
        const Index k = own.same[i - 1];
        const bool is_same = are_equal(given.counts[i], given.counts[k]) &&
                             are_equal(upper[i], upper[k]) && are_equal(F[i], F[k]) &&
                             are_equal(given.offset[i], given.offset[k]);
        if (is_same) own.same[i] = k;
    }
    return own;
}

// What may become of a problem.
enum Status : std::int8_t { solved, unresolved, impossible, limited, unseen };

// The catalog's numbers of n problems; members are those of the named tuple in canonical.py.
struct Found {
    Array<double, 3> numbers;
    Array<bool, 2> is_limit;
    Array<double, 2> reach;
    Array<std::int8_t> status;
    Array<bool> is_scaled;
    Array<std::int8_t, 2> depth;
    Array<double, 3> ends, tables;

    // No numbers yet.
    Found(const OwnProblems& own, Index sources, Index points) {
        constexpr double nan = std::numeric_limits<double>::quiet_NaN();
        const Index n = own.same.size();
        numbers = Array<double, 3>({n, sources, 7}, nan);
        is_limit = Array<bool, 2>({n, sources}, false);
        reach = Array<double, 2>(own.upper.shape(), std::numeric_limits<double>::infinity());
        status = Array<std::int8_t>({n}, solved);
        is_scaled = Array<bool>({n});
        for (Index i = 0; i < n; ++i) is_scaled[i] = own.is_scaled(i);
        depth = Array<std::int8_t, 2>({n, sources}, 0);
        ends = Array<double, 3>({n, sources, 2}, nan);
        tables = Array<double, 3>({n, sources, points}, 0.0);
    }

    // From problems' own units to the given ones, also of those that are the same as others.
    void scale(const OwnProblems& own) {
        for (Index i = own.same.size() - 1; i >= 0; --i) {  // what others are the same as last
            const Index k = own.same[i];
            status[i] = status[k];
            std::copy(is_limit[k].begin(), is_limit[k].end(), is_limit[i].begin());
            std::copy(depth[k].begin(), depth[k].end(), depth[i].begin());
            std::copy(tables[k].begin(), tables[k].end(), tables[i].begin());
            for (Index j = 0; j < is_limit.shape(1); ++j) {
                const double unit = own.units(i, j);
                for (Index m = 0; m < 6; ++m) numbers(i, j, m) = numbers(k, j, m) / unit;
                numbers(i, j, 6) = numbers(k, j, 6);
                for (Index m = 0; m < 2; ++m) ends(i, j, m) = ends(k, j, m) / unit;
            }
            for (Index j = 0; j < reach.shape(1); ++j) reach(i, j) = reach(k, j) / own.units(i, j);
        }
    }
};

}  // namespace mpiapp
