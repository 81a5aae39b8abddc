// SPDX-License-Identifier: MIT
#include "support/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "lotformer/core/text.h"

namespace lotformer::test {
namespace fs = std::filesystem;
namespace {

void send_all(int connection, const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = ::send(connection, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (put <= 0) return;
    done += static_cast<size_t>(put);
  }
}

std::string receive_head(int connection) {
  std::string head;
  char buffer[4096];
  while (head.find("\r\n\r\n") == std::string::npos && head.size() < 65536) {
    const ssize_t got = ::recv(connection, buffer, sizeof buffer, 0);
    if (got <= 0) break;
    head.append(buffer, static_cast<size_t>(got));
  }
  return head;
}

/// First byte of a "Range: bytes=N-" header, else 0.
size_t range_begin(const std::string& head) {
  const size_t at = head.find("Range: bytes=");
  return at == std::string::npos ? 0 : std::strtoull(head.c_str() + at + 13, nullptr, 10);
}

}  // namespace

HttpServer::HttpServer(fs::path folder) : folder_(std::move(folder)) {
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  if (socket_ < 0 || ::bind(socket_, plain, size) != 0 || ::listen(socket_, 16) != 0 ||
      ::getsockname(socket_, plain, &size) != 0)
    throw std::runtime_error("http server: no port");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

HttpServer::~HttpServer() {
  stop_ = true;
  thread_.join();
  ::close(socket_);
}

std::string HttpServer::url() const {
  return concat("http://127.0.0.1:", port_);
}

std::vector<std::string> HttpServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void HttpServer::serve() {
  constexpr int kMilliseconds = 20;
  while (!stop_) {
    pollfd wait{socket_, POLLIN, 0};
    if (::poll(&wait, 1, kMilliseconds) <= 0) continue;
    const int connection = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    answer(connection);
    ::close(connection);
  }
}

void HttpServer::answer(int connection) {
  const std::string head = receive_head(connection);
  const std::string method = head.substr(0, head.find(' '));
  const size_t path_begin = method.size() + 1, path_end = head.find(' ', path_begin);
  const std::string path = head.substr(path_begin, path_end - path_begin);
  const size_t slash = path.find('/', 1);
  const std::string manner = path.substr(1, slash - 1);
  const std::string name = slash == std::string::npos ? "" : path.substr(slash + 1);
  size_t begin = manner == "whole" || manner == "streamed" ? 0 : range_begin(head);
  const std::string request = concat(method, " ", path, " from ", begin);
  std::ptrdiff_t asked_before = 0;
  {
    const std::lock_guard lock(mutex_);
    asked_before = std::count(requests_.begin(), requests_.end(), request);
    requests_.push_back(request);
  }
  const std::string end = "Connection: close\r\n\r\n";
  if (manner == "forbidden")
    return send_all(connection, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n" + end);
  if (manner == "busy" && asked_before < 2)
    return send_all(connection, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n" + end);
  if (manner == "redirect" || manner == "loop") {
    const std::string target = manner == "loop" ? path : "/ok/" + name;
    return send_all(connection,
                    concat("HTTP/1.1 302 Found\r\nLocation: ", target, "\r\nContent-Length: 0\r\n", end));
  }
  if (manner == "landing")
    return send_all(connection, concat("HTTP/1.1 302 Found\r\nLocation: /streamed/", name,
                                       "\r\nContent-Length: 20\r\n", end, "<html>moved</html>  "));
  if (manner == "login")
    return send_all(connection, concat("HTTP/1.1 200 OK\r\nContent-Length: 31\r\n", end,
                                       method == "HEAD" ? "" : "<html>\x1b[31mplease log in</html>"));
  std::ifstream file(folder_ / name, std::ios::binary);
  if (!file) return send_all(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n" + end);
  std::string body((std::istreambuf_iterator<char>(file)), {});
  if (manner == "corrupt" && !body.empty()) body[body.size() / 2] ^= 1;
  if (begin > 0 && begin >= body.size())
    return send_all(connection, concat("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */",
                                       body.size(), "\r\nContent-Length: 0\r\n", end));
  if (manner == "modest" && method == "HEAD")
    return send_all(connection, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n" + end);
  if (manner == "streamed") {
    const std::string chunks = concat(std::hex, body.size(), "\r\n", body, "\r\n0\r\n\r\n");
    return send_all(connection, concat("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", end,
                                       method == "HEAD" ? "" : chunks));
  }
  const size_t whole = body.size();
  body.erase(0, begin);
  std::string answer = concat("HTTP/1.1 ", begin > 0 ? "206 Partial Content" : "200 OK",
                              "\r\nContent-Length: ", body.size(), "\r\n");
  if (begin > 0) answer += concat("Content-Range: bytes ", begin, "-", whole - 1, "/", whole, "\r\n");
  if (manner == "cut") body.resize(body.size() / 2);
  send_all(connection, answer + end + (method == "HEAD" ? "" : body));
}

}  // namespace lotformer::test
