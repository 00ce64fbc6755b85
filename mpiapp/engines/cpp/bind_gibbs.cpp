// What gibbs.py calls.

#include "engines/cpp/bindings.hpp"
#include "engines/cpp/gibbs.hpp"
#include "engines/cpp/problems_of_python.hpp"

using namespace pybind11::literals;

void bind_gibbs(pybind11::module_& m) {
    m.def("sweep", &mpiapp::sweep, "p"_a, "directions"_a, "moves"_a, "totals"_a, "theta"_a,
          "state"_a, "values"_a);
}
