// How a posterior becomes a mode and bounds, and the mode and bounds that it becomes.

#pragma once

namespace mpiapp {

// As the Python class of this name: half-width of the Epanechnikov kernel in units of the rms of
// the posterior, the probability that the bounds enclose, and whether an upper limit is the
// quantile of that probability instead of twice the mode.
struct Smoothing {
    double bandwidth, level;
    bool wants_quantile;

    bool operator==(const Smoothing& other) const {
        return bandwidth == other.bandwidth && level == other.level &&
               wants_quantile == other.wants_quantile;
    }
};

// is_limit: the interval about the mode reaches zero first; then lolim is zero and hilim the limit.
struct Interval {
    double mode, lolim, hilim;
    bool is_limit;
};

}  // namespace mpiapp
