// SPDX-License-Identifier: MIT
#include <atomic>
#include <cstdlib>
#include <string>

#include "cores.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "ops/tensor_tools/instruction_set.h"

namespace lotformer::ops::pivot::cpu {
namespace {

const Core& machines_own() {
  const char* wanted = std::getenv("LOTFORMER_CPU_CORE");
  if (wanted && *wanted) {
    const Core* found = find_core(wanted);
    if (!found)
      throw Error(
          ErrorKind::usage,
          concat("LOTFORMER_CPU_CORE: expected portable, avx2 or avx512 and one that this machine has, got ",
                 quoted(wanted)));
    return *found;
  }
  for (const char* name : {"avx512", "avx2"}) {
    if (const Core* found = find_core(name)) return *found;
  }
  return *portable_core();
}

std::atomic<const Core*> chosen_core = nullptr;

}  // namespace

const Core* find_core(std::string_view name) {
  if (name == "portable") return portable_core();
#ifdef LOTFORMER_X86_CORES
  if (name == "avx2" && instruction_set() != InstructionSet::base) return avx2_core();
  if (name == "avx512" && instruction_set() == InstructionSet::avx512) return avx512_core();
#endif
  return nullptr;
}

const Core& core() {
  if (const Core* chosen = chosen_core.load()) return *chosen;
  static const Core& own = machines_own();
  return own;
}

void use_core(const Core* chosen) {
  chosen_core.store(chosen);
}

}  // namespace lotformer::ops::pivot::cpu
