// mpiapp.engines._compiled: what Python calls of the engines' kernels.

#include "cpp/numpy.hpp"
#include "engines/cpp/compressed.hpp"
#include "engines/cpp/maximise.hpp"

namespace py = pybind11;
using namespace pybind11::literals;
using namespace mpiapp;

namespace pybind11::detail {

template <>
struct type_caster<Compressed>
    : structure_caster<Compressed, View<const Index>, View<const double>, View<const double, 2>,
                       View<const double>, View<const double>, View<const Index>,
                       View<const double>, View<const double>, View<const double>> {};

}  // namespace pybind11::detail

PYBIND11_MODULE(_compiled, m) {
    m.attr("INSIDE") = inside;
    m.def("maximise", &maximise, "p"_a, "theta"_a);
}
