/*
 * A guest's program for AF_VSOCK streams.
 *
 *     streams connect PORT COUNT   sends COUNT bytes to the host's PORT, ends, and counts what comes back
 *     streams listen PORT          takes one stream and sends back what comes, until the host ends
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

static int fail(const char *what) { perror(what); return 1; }

static struct sockaddr_vm address(unsigned cid, unsigned port)
{
    struct sockaddr_vm result;
    memset(&result, 0, sizeof result);
    result.svm_family = AF_VSOCK;
    result.svm_cid = cid;
    result.svm_port = port;
    return result;
}

static int connect_host(unsigned port, long count)
{
    char bytes[4096];
    long sent = 0, back = 0;
    unsigned cid = 0;
    int stream = socket(AF_VSOCK, SOCK_STREAM, 0), device = open("/dev/vsock", O_RDONLY);
    struct sockaddr_vm host = address(VMADDR_CID_HOST, port);
    if (stream < 0 || device < 0 || ioctl(device, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0) return fail("socket");
    if (connect(stream, (struct sockaddr *)&host, sizeof host) < 0) return fail("connect");
    memset(bytes, 'a', sizeof bytes);
    for (;;) {
        struct pollfd both = { stream, POLLIN | (sent < count ? POLLOUT : 0), 0 };
        if (poll(&both, 1, -1) < 0) return fail("poll");
        if (both.revents & POLLOUT) {
            long left = count - sent;
            ssize_t n = send(stream, bytes, left < (long)sizeof bytes ? left : (long)sizeof bytes, MSG_DONTWAIT);
            if (n > 0) sent += n;
            if (sent == count) shutdown(stream, SHUT_WR);
        }
        if (both.revents & POLLIN) {
            ssize_t n = read(stream, bytes, sizeof bytes);
            if (n <= 0) break;
            back += n;
            if (back == count) break;
        }
    }
    printf("cid %u: %ld bytes came back\n", cid, back);
    return 0;
}

static int listen_guest(unsigned port)
{
    char bytes[4096];
    ssize_t n;
    int listener = socket(AF_VSOCK, SOCK_STREAM, 0), stream;
    struct sockaddr_vm any = address(VMADDR_CID_ANY, port);
    if (listener < 0 || bind(listener, (struct sockaddr *)&any, sizeof any) < 0 || listen(listener, 1) < 0) return fail("listen");
    puts("listening");
    fflush(stdout);
    if ((stream = accept(listener, NULL, NULL)) < 0) return fail("accept");
    while ((n = read(stream, bytes, sizeof bytes)) > 0)
        for (ssize_t done = 0; done < n;) {
            ssize_t count = write(stream, bytes + done, n - done);
            if (count < 0) return fail("write");
            done += count;
        }
    shutdown(stream, SHUT_WR);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "connect") == 0) return connect_host(atoi(argv[2]), atol(argv[3]));
    if (argc == 3 && strcmp(argv[1], "listen") == 0) return listen_guest(atoi(argv[2]));
    return 2;
}
