cmake_minimum_required(VERSION 3.24)   # run as a script: no policy is inherited
execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT revision)
  set(revision "unknown")
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define LOTFORMER_BUILD_ID \"@VERSION@+@revision@\"\n" @ONLY)
