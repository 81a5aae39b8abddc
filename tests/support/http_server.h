// SPDX-License-Identifier: MIT
// A web server for tests, on a port of its own of 127.0.0.1, in a thread. The first part of a path says how
// it behaves, the rest which file of the folder it is about:
//   /ok/F  with ranges    /whole/F  ignores ranges    /cut/F  breaks off after half of what was asked for
//   /corrupt/F  one byte wrong    /redirect/F -> /ok/F    /loop/F -> itself    /forbidden/F  403    /busy/F
//               503 twice
//   /streamed/F  in chunks, no length, no ranges: a HEAD says nothing    /landing/F -> /streamed/F, by an
//                answer with a body
//   /modest/F  a HEAD names 20 bytes    /login/F  200 and a page
#pragma once

#include <atomic>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace lotformer::test {

class HttpServer {
 public:
  explicit HttpServer(std::filesystem::path folder);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// "http://127.0.0.1:PORT"
  std::string url() const;
  /// "GET /ok/file from 0", in the order of arrival.
  std::vector<std::string> requests() const;

 private:
  void serve();
  void answer(int connection);
  std::filesystem::path folder_;
  int socket_ = -1, port_ = 0;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

}  // namespace lotformer::test
