// Gibbs sampling of several sources: sweeps of chains, which run side by side as lanes.
//
// A sweep draws the sources along conjugate directions, the backgrounds following as their
// regression on the sources says, and then each background by itself, which touches the rows of its
// own obsid alone.  Each draw along a line is exact (line_sampler.hpp).

#pragma once

#include <limits>

#include "cpp/vectorised.hpp"
#include "engines/cpp/compressed.hpp"
#include "engines/cpp/line_sampler.hpp"

namespace mpiapp {

class Chains {
  public:
    // directions : (lines, columns); moves : (lines, rows), what they add to μ of the rows with
    // counts; totals : (lines), and to Σ μ of all rows; theta : (columns, chains), advanced, as
    // state is.
    Chains(Compressed p, View<const double, 2> directions, View<const double, 2> moves,
           View<const double> totals, View<double, 2> theta, States state)
        : p_(p),
          directions_(directions),
          moves_(moves),
          totals_(totals),
          theta_(theta),
          state_(state),
          chains_(theta.shape(1)),
          mu_({p.counts.size(), chains_}),
          lo_({chains_}),
          hi_({chains_}),
          t_({chains_}),
          sampler_(chains_) {}

    // Advance all chains by a sweep; the number of draws that found no value.
    Index sweep() {
        Index failed = 0;
        expect();
        for (Index line = 0; line < directions_.size(); ++line) failed += move_along(line);
        for (Index k = 0; k < p_.backgrounds(); ++k) failed += move_background(k);
        return failed;
    }

  private:
    // μ of theta.
    void expect() {
        for (Index r = 0; r < mu_.size(); ++r) {
            mu_[r].fill(p_.offset[r]);
            for (Index j = 0; j < p_.sources(); ++j) add(r, p_.f(r, j), theta_[j]);
        }
        for (Index k = 0; k < p_.backgrounds(); ++k) {
            const auto background = theta_[p_.sources() + k];
            for (Index r = p_.first[k]; r < p_.first[k + 1]; ++r) add(r, p_.omega[r], background);
        }
    }

    // Each chain draws how far it moves along a line, within the box of the prior.
    Index move_along(Index line) {
        const auto direction = directions_[line];
        lo_.fill(-std::numeric_limits<double>::infinity());
        hi_.fill(std::numeric_limits<double>::infinity());
        for (Index j = 0; j < p_.columns(); ++j) {
            if (direction[j] != 0.0) narrow(j, direction[j]);
        }
        const Index failed = draw(0, mu_.size(), moves_[line], totals_[line]);
        for (Index j = 0; j < p_.columns(); ++j) {
            if (direction[j] != 0.0) shift(j, direction[j]);
        }
        for (Index r = 0; r < mu_.size(); ++r) add(r, moves_(line, r), t_);
        return failed;
    }

    Index move_background(Index k) {
        const Index column = p_.sources() + k, begin = p_.first[k], end = p_.first[k + 1];
        for (Index i = 0; i < chains_; ++i) {
            lo_[i] = -theta_(column, i);
            hi_[i] = p_.upper[column] - theta_(column, i);
        }
        const Index failed = draw(begin, end, p_.omega.part(begin, end), p_.omega_sum[k]);
        shift(column, 1.0);
        for (Index r = begin; r < end; ++r) add(r, p_.omega[r], t_);
        return failed;
    }

    // Bounds of a step in which a column changes at this rate.
    void narrow(Index column, double rate) {
        for (Index i = 0; i < chains_; ++i) {
            const double to_zero = -theta_(column, i) / rate;
            const double to_upper = (p_.upper[column] - theta_(column, i)) / rate;
            lo_[i] = std::max(lo_[i], std::min(to_zero, to_upper));
            hi_[i] = std::min(hi_[i], std::max(to_zero, to_upper));
        }
    }

    // Steps that change μ of rows from begin to end at the rates v, and Σ μ at the rate total.
    Index draw(Index begin, Index end, View<const double> v, double total) {
        for (Index i = 0; i < chains_; ++i) {
            const double inset = 1e-6 * (hi_[i] - lo_[i]);
            t_[i] = std::min(std::max(0.0, lo_[i] + inset), hi_[i] - inset);
        }
        const View<const double, 2> mu = mu_.part(begin, end);
        return sampler_.draw({p_.counts.part(begin, end), mu, v, total}, lo_, hi_, t_, state_);
    }

    void shift(Index column, double rate) {
        for (Index i = 0; i < chains_; ++i) {
            const double moved = theta_(column, i) + t_[i] * rate;
            theta_(column, i) = std::min(std::max(moved, 0.0), p_.upper[column]);
        }
    }

    void add(Index row, double rate, View<const double> steps) {
        for (Index i = 0; i < chains_; ++i) mu_(row, i) += rate * steps[i];
    }

    Compressed p_;
    View<const double, 2> directions_, moves_;
    View<const double> totals_;
    View<double, 2> theta_;
    States state_;
    Index chains_;
    Array<double, 2> mu_;
    Array<double> lo_, hi_, t_;
    LineSampler sampler_;
};

// values : (chains, sweeps, columns), written: where each chain ends after each sweep.
//
// The other arguments are those of `Chains`.  Returns the number of draws that found no value.
VECTORISED Index sweep(Compressed p, View<const double, 2> directions, View<const double, 2> moves,
                       View<const double> totals, View<double, 2> theta, States state,
                       View<double, 3> values) {
    Chains chains(p, directions, moves, totals, theta, state);
    Index failed = 0;
    for (Index n = 0; n < values.shape(1); ++n) {
        failed += chains.sweep();
        for (Index i = 0; i < theta.shape(1); ++i) {
            for (Index j = 0; j < theta.size(); ++j) values(i, n, j) = theta(j, i);
        }
    }
    return failed;
}

}  // namespace mpiapp
