/** Who listens on a TCP address: whether it is free, and whether somebody answers. */

import { connect, createServer } from "node:net";

const CONNECT_TIMEOUT_MS = 1000;

/**
 * Why a server could not listen there now: an errno name such as EADDRINUSE, or undefined when it could.
 * @param {string} host
 * @param {number} port
 * @returns {Promise<string | undefined>}
 */
export function listenProblem(host, port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (/** @type {NodeJS.ErrnoException} */ error) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/**
 * Whether a connection is accepted there now.
 * @param {string} host
 * @param {number} port
 * @returns {Promise<boolean>}
 */
export function accepts(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    /** @param {boolean} answer */
    const settle = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => settle(false));
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}
