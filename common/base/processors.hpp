#pragma once

namespace mad {

/// How many processors this process may run on, at least 1.  Opens no file, as
/// std::thread::hardware_concurrency() may, which a sandbox does not allow any more.
unsigned usable_processors();

}  // namespace mad
