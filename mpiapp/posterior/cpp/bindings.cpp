// mpiapp.posterior._compiled: what Python calls of densities from series and from draws.

#include <tuple>

#include "cpp/numpy.hpp"
#include "cpp/vectorised.hpp"
#include "posterior/cpp/diagnostics.hpp"
#include "posterior/cpp/series.hpp"
#include "posterior/cpp/smoothed_draws.hpp"

namespace py = pybind11;
using namespace pybind11::literals;
using namespace mpiapp;

namespace {

std::tuple<double, double, double, bool> summary_of_series(View<const double> c, double zero,
                                                           double top, double bandwidth,
                                                           double level, bool wants_quantile) {
    const auto found =
        summarise_series(Integrals(c), zero, top, {bandwidth, level, wants_quantile});
    return {found.mode, found.lolim, found.hilim, found.is_limit};
}

std::tuple<double, double> moments_of_series(View<const double> c) {
    const auto [mean, std] = Integrals(c).moments();
    return {mean, std};
}

Array<double> density_of_series(View<const double> c, View<const double> x) {
    Array<double> out(x.shape());
    normalised_density(c, Integrals(c), x, out);
    return out;
}

Array<double> smoothed_density_of_series(View<const double> c, double zero, double top,
                                         double bandwidth, View<const double> x) {
    Array<double> out(x.shape());
    smoothed_density(Integrals(c), zero, top, bandwidth, x, out);
    return out;
}

VECTORISED std::tuple<double, double, double, bool, double> summary_of_draws(
    View<const double> draws, double bandwidth, double level, bool wants_quantile) {
    const auto [found, noise] = SmoothedDraws(draws, bandwidth).summarise(level, wants_quantile);
    return {found.mode, found.lolim, found.hilim, found.is_limit, noise};
}

Array<double> density_of_draws(View<const double> draws, View<const double> x, double bandwidth) {
    const SmoothedDraws smoothed(draws, bandwidth);
    Array<double> out(x.shape());
    for (Index i = 0; i < x.size(); ++i) out[i] = smoothed.density(x[i]);
    return out;
}

VECTORISED std::tuple<Array<double>, Array<double>> rhat_and_ess(View<const double, 3> values) {
    const Index columns = values.shape(2);
    Array<double> rhat({columns}), ess({columns});
    Diagnostics diagnostics(values.shape(0), values.shape(1));
    for (Index j = 0; j < columns; ++j) {
        const auto found = diagnostics.of(values, j);
        rhat[j] = found.rhat;
        ess[j] = found.ess;
    }
    return {std::move(rhat), std::move(ess)};
}

}  // namespace

PYBIND11_MODULE(_compiled, m) {
    m.def("summary_of_series", &summary_of_series, "c"_a, "zero"_a, "top"_a, "bandwidth"_a,
          "level"_a, "wants_quantile"_a);
    m.def("moments_of_series", &moments_of_series, "c"_a);
    m.def("density_of_series", &density_of_series, "c"_a, "x"_a);
    m.def("smoothed_density_of_series", &smoothed_density_of_series, "c"_a, "zero"_a, "top"_a,
          "bandwidth"_a, "x"_a);
    m.def("summary_of_draws", &summary_of_draws, "draws"_a, "bandwidth"_a, "level"_a,
          "wants_quantile"_a);
    m.def("density_of_draws", &density_of_draws, "draws"_a, "x"_a, "bandwidth"_a);
    m.def("rhat_and_ess", &rhat_and_ess, "values"_a);
}
