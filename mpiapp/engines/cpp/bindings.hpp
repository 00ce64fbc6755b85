// The parts of mpiapp.engines._compiled, each in a file of its own so that they compile side by
// side.

#pragma once

#include <pybind11/pybind11.h>

void bind_gibbs(pybind11::module_& m);
void bind_one_source(pybind11::module_& m);
void bind_several(pybind11::module_& m);
