// mad-test-resolver: for the program it is preloaded into, names below `.slow` are looked up for
// a minute, which it says on standard error, and not found then.
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <unistd.h>

#include <string>

namespace {

bool is_slow(const std::string& name) {
  const std::string end = ".slow";
  return name.size() > end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** found) {
  if (name != nullptr && is_slow(name)) {
    const std::string said = "mad-test-resolver: " + std::string(name) + "\n";
    if (write(STDERR_FILENO, said.data(), said.size()) < 0) return EAI_SYSTEM;
    poll(nullptr, 0, 60'000);
    return EAI_AGAIN;
  }
  using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto own = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return own(name, service, hints, found);
}
