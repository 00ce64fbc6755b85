// Whether densities that are known as tables have a value in common: the ratio of likelihoods.
//
// With flat priors the density of what one observation measures is its likelihood.  Of n of them
//
//     D = −2 ln [max_s Π p_j(s) / Π max p_j]
//
// is near χ² with n − 1 degrees of freedom if all measured the same s (Wilks).

#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cpp/arrays.hpp"
#include "products/cpp/table.hpp"

namespace mpiapp {

// The logarithm of a likelihood.
//
// Of its table what is below e⁻¹² of its peak is not used: there a density that was computed as a
// series of polynomials may be all rounding.  Beyond, its logarithm is at most that, and at most
// the parabola below and the straight line above: a Poisson likelihood, whose logarithm has a
// negative second derivative and a positive third one, lies nowhere above these.  D is not too
// large.
class LogLikelihood {
  public:
    double mode, at_mode;

    explicit LogLikelihood(const Table& table)
        : table_(table), peak_(*std::max_element(table.density.begin(), table.density.end())) {
        const auto p = table.density;
        const double floor = deepest * peak_, step = table.step();
        const Index last_point = table.points() - 1;
        const Index best = std::max_element(p.begin(), p.end()) - p.begin();
        Index left = best, right = best;
        while (left > 0 && p[left - 1] > floor) --left;
        while (right < last_point && p[right + 1] > floor) ++right;
        first_ = {table.x(left), log_at(left), left < best ? rise(left, 1) / step : 0.0};
        if (left + 4 <= best) {  // over more than one step, against the rounding of the table
            const double b = rise(left, 2), c = rise(left, 4);
            first_.slope = (4.0 * b - c) / (4.0 * step);
            bend_ = std::min((c - 2.0 * b) / (4.0 * step * step), 0.0);
        }
        last_ = {table.x(right), log_at(right), right > best ? rise(right - 1, 1) / step : 0.0};
        mode = table.x(best);
        at_mode = log_at(best);
        if (left < best && best < right) {
            const double before = rise(best, -1), after = rise(best, 1), bend = before + after;
            if (bend < 0.0) {  // the parabola through the three highest points
                const double u = 0.5 * (before - after) / bend;
                mode += step * u;
                at_mode -= 0.25 * (before - after) * u;
            }
        }
    }

    double operator()(double x) const {
        const double log = std::log(std::max(table_.at(x) / peak_, deepest));
        if (x < first_.x) {
            const double below = x - first_.x;
            return std::min(log, first_.log + below * (first_.slope + 0.5 * below * bend_));
        }
        if (x > last_.x) return std::min(log, last_.log + last_.slope * (x - last_.x));
        return log;
    }

  private:
    inline static const double deepest = std::exp(-12.0);

    // Of the part of the table that is used.
    struct End {
        double x, log, slope;
    };

    double log_at(Index i) const { return std::log(table_.density[i] / peak_); }
    double rise(Index from, Index points) const { return log_at(from + points) - log_at(from); }

    Table table_;
    double peak_;
    End first_, last_;
    double bend_ = 0.0;  // second derivative at the first point
};

struct Common {
    double statistic, value;  // D, and the s of its maximum
};

inline Common common_value(const std::vector<LogLikelihood>& likelihoods) {
    constexpr Index grid = 65;
    const double golden = 0.5 * (std::sqrt(5.0) - 1.0);
    const auto together = [&](double x) {
        double total = 0.0;
        for (const auto& likelihood : likelihoods) total += likelihood(x);
        return total;
    };
    double highest = 0.0, first = std::numeric_limits<double>::infinity(), last = -first;
    for (const auto& likelihood : likelihoods) {
        highest += likelihood.at_mode;
        first = std::min(first, likelihood.mode);
        last = std::max(last, likelihood.mode);
    }
    // On a grid before between its points: hardness ratios may have several maxima.
    const double step = (last - first) / (grid - 1);
    double where = first, best = together(first);
    Index nearest = 0;
    for (Index i = 1; i < grid && step > 0.0; ++i) {
        const double value = together(first + step * i);
        if (value > best) {
            nearest = i;
            best = value;
            where = first + step * i;
        }
    }
    double a = std::max(first + step * (nearest - 1), first);
    double b = std::min(first + step * (nearest + 1), last);
    for (int round = 0; round < 30; ++round) {
        const double x = b - golden * (b - a), y = a + golden * (b - a);
        const double at_x = together(x), at_y = together(y);
        if (std::max(at_x, at_y) > best) {
            best = std::max(at_x, at_y);
            where = at_x > at_y ? x : y;
        }
        if (at_x < at_y) {
            a = x;
        } else {
            b = y;
        }
    }
    return {std::max(2.0 * (highest - best), 0.0), where};
}

// (m, 2) D and common value of m sources; NaN for one with a single observation or none.
//
// first : (m + 1) where the observations of each source begin, and their number.
inline Array<double, 2> common_values(const Tables& tables, View<const Index> first) {
    Array<double, 2> out({first.size() - 1, 2}, std::numeric_limits<double>::quiet_NaN());
    std::vector<LogLikelihood> likelihoods;
    for (Index i = 0; i < out.size(); ++i) {
        if (first[i + 1] - first[i] < 2) continue;
        likelihoods.clear();
        for (Index j = first[i]; j < first[i + 1]; ++j) likelihoods.emplace_back(tables[j]);
        const Common found = common_value(likelihoods);
        out(i, 0) = found.statistic;
        out(i, 1) = found.value;
    }
    return out;
}

}  // namespace mpiapp
