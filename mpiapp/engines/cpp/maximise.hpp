// The peak of the likelihood by expectation maximisation, the update of Richardson (1972) and
// Lucy (1974).

#pragma once

#include "cpp/vectorised.hpp"
#include "engines/cpp/compressed.hpp"

namespace mpiapp {

constexpr int em_rounds = 300;         // it creeps between blended sources
constexpr double inside = 1.0 - 1e-9;  // of an upper bound: where estimates that it cuts stand

// gain (columns), written: Σ_r C_r F_rj / μ_r at theta.
inline void gains(const Compressed& p, View<const double> theta, View<double> gain) {
    gain.fill(0.0);
    for (Index k = 0; k < p.blocks(); ++k) {
        for (Index r = p.begin_of(k); r < p.end_of(k); ++r) {
            const double ratio = p.counts[r] / p.expected(r, k, theta);
            for (Index j = 0; j < p.sources(); ++j) gain[j] += p.f(r, j) * ratio;
            if (p.backgrounds()) gain[p.sources() + k] += p.omega[r] * ratio;
        }
    }
}

// Improve the positive estimate theta (columns) inside the box of the prior.
VECTORISED inline void maximise(Compressed p, View<double> theta) {
    Array<double> gain({theta.size()});
    for (int round = 0; round < em_rounds; ++round) {
        gains(p, theta, gain);
        for (Index j = 0; j < theta.size(); ++j) {
            const double total = p.total(j);
            if (total <= 0.0) continue;
            const double better = theta[j] * gain[j] / total;
            theta[j] = std::min(std::max(better, 1e-3 / total), inside * p.upper[j]);
        }
    }
}

}  // namespace mpiapp
