// Catch2's main: the library's own in v3, made here in v2.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#else
#include <catch2/catch_all.hpp>
#endif
