# lotformer_add_pivot_cpu_core(TARGET): the CPU core, once for each instruction set. Its vectors are the compiler's; it includes nothing
# of torch.
set(LOTFORMER_PIVOT_CPU_DIR ${CMAKE_CURRENT_LIST_DIR})
function(lotformer_add_pivot_cpu_core target)
  set(folder ${LOTFORMER_PIVOT_CPU_DIR})
  set(avx2 -mavx2 -mfma)
  set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
  target_sources(${target} PRIVATE ${folder}/dispatch.cpp)
  set(instruction_sets portable)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    list(APPEND instruction_sets avx2 avx512)
    set_source_files_properties(${folder}/dispatch.cpp TARGET_DIRECTORY ${target}
                                PROPERTIES COMPILE_DEFINITIONS LOTFORMER_X86_CORES=1 SKIP_PRECOMPILE_HEADERS ON)
  endif()
  foreach(set IN LISTS instruction_sets)
    target_sources(${target} PRIVATE ${folder}/core_${set}.cpp)
    set(options -fno-math-errno -ffp-contract=fast ${${set}})
    set_source_files_properties(${folder}/core_${set}.cpp TARGET_DIRECTORY ${target}
                                PROPERTIES COMPILE_OPTIONS "${options}" SKIP_PRECOMPILE_HEADERS ON)
  endforeach()
endfunction()
