// mpiapp.engines._compiled: what Python calls of the engines' kernels.

#include "engines/cpp/bindings.hpp"

#include "engines/cpp/maximise.hpp"
#include "engines/cpp/problems_of_python.hpp"

namespace py = pybind11;
using namespace pybind11::literals;
using namespace mpiapp;

namespace {

auto compressed(const Given& problem) {
    auto c = compress(problem);
    return std::make_tuple(
        c.impossible,
        std::make_tuple(std::move(c.rows), std::move(c.counts), std::move(c.f), std::move(c.omega),
                        std::move(c.offset), std::move(c.first), std::move(c.f_sum),
                        std::move(c.omega_sum), std::move(c.upper)));
}

auto in_own_units(View<const double> counts, View<const double, 2> F, View<const double> upper,
                  Index sources, double room) {
    Array<double, 2> own({F.size(), F.shape(1)});
    Array<double> bounds({upper.size()}), units({upper.size()});
    to_own_units(counts, F, upper, sources, room, own, bounds, units);
    return std::make_tuple(std::move(own), std::move(bounds), std::move(units));
}

}  // namespace

PYBIND11_MODULE(_compiled, m) {
    m.attr("INSIDE") = inside;
    m.attr("SOLVED") = static_cast<int>(solved);
    m.attr("LIMITED") = static_cast<int>(limited);
    m.def("compress", &compressed, "problem"_a);
    m.def("in_own_units", &in_own_units, "counts"_a, "F"_a, "upper"_a, "sources"_a, "room"_a);
    m.def("maximise", &maximise, "p"_a, "theta"_a);
    bind_gibbs(m);
    bind_one_source(m);
    bind_several(m);
}
