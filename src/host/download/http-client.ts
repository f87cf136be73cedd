import { hostError } from '../errors.ts'

/**
 * HTTP for what the host fetches: through the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name, with time-outs, redirects
 * followed. A server's silence is bounded both before its answer and within it.
 */
export interface HttpClient {
  /** Throws TenonError DOWNLOAD_FAILED or DOWNLOAD_TIMEOUT; statuses from 400 on are answers, not errors. */
  get(url: string, options?: GetOptions): Promise<HttpResponse>
  close(): Promise<void>
}

export interface GetOptions {
  /** Asks for the bytes from here on. The server may answer 200 with all of them all the same. */
  readonly from?: number
  readonly signal?: AbortSignal
}

export interface HttpResponse {
  readonly status: number
  header(name: string): string | null
  /** Throws as `get` does. Leaving the loop early ends the transfer. */
  readonly body: AsyncIterable<Uint8Array>
}

export interface HttpOptions {
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** How long a server may be silent. */
  readonly silenceMs?: number
}

const DEFAULT_SILENCE_MS = 20_000

export async function openHttpClient({ environment = process.env, silenceMs = DEFAULT_SILENCE_MS }: HttpOptions = {}): Promise<HttpClient> {
  const undici = await import('undici')
  const dispatcher = makeDispatcher(undici, environment)
  return {
    async get(url, { from = 0, signal } = {}) {
      const watchdog = new Watchdog(silenceMs, signal)
      try {
        const headers = { 'user-agent': 'tenon', 'accept-encoding': 'identity', ...from > 0 && { range: `bytes=${from}-` } }
        const { status, headers: answered, body } = await undici.fetch(url, { dispatcher, signal: watchdog.signal, headers })
        return { status, header: name => answered.get(name), body: readBody(body, url, watchdog) }
      } catch (cause) {
        throw watchdog.explain(url, cause)
      }
    },
    close: () => dispatcher.destroy(),
  }
}

function makeDispatcher({ EnvHttpProxyAgent }: typeof import('undici'), environment: HttpOptions['environment'] = {}) {
  const proxy = (name: string): string => environment[name] || environment[name.toUpperCase()] || ''
  try {
    // Empty strings keep the library from looking at the process's own environment. proxyTunnel: many proxies allow CONNECT to port
    // 443 only, so that plain HTTP goes through them as it is.
    return new EnvHttpProxyAgent({ httpProxy: proxy('http_proxy'), httpsProxy: proxy('https_proxy'), noProxy: proxy('no_proxy'), proxyTunnel: false })
  } catch (cause) {
    throw hostError('DOWNLOAD_FAILED', 'the proxy in HTTPS_PROXY or HTTP_PROXY is no URL: write it as http://host:port', cause)
  }
}

async function* readBody(
  body: AsyncIterable<Uint8Array> | null, url: string, watchdog: Watchdog,
): AsyncGenerator<Uint8Array> {
  try {
    watchdog.restart()
    for await (const chunk of body ?? []) {
      watchdog.stop()
      yield chunk
      watchdog.restart()
    }
  } catch (cause) {
    throw watchdog.explain(url, cause)
  } finally {
    watchdog.abandon()
  }
}

/** Aborts a transfer after a silence, or with its caller's signal, and knows which it was. */
class Watchdog {
  readonly #controller = new AbortController()
  readonly #silenceMs: number
  readonly #outer: AbortSignal | undefined
  readonly #onAbort = (): void => this.#controller.abort()
  #timer: NodeJS.Timeout | undefined
  #expired = false

  constructor(silenceMs: number, outer: AbortSignal | undefined) {
    this.#silenceMs = silenceMs
    this.#outer = outer
    outer?.throwIfAborted()
    outer?.addEventListener('abort', this.#onAbort, { once: true })
    this.restart()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  restart(): void {
    this.stop()
    this.#timer = setTimeout(() => {
      this.#expired = true
      this.#controller.abort()
    }, this.#silenceMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  /** Ends the transfer if it is still under way. */
  abandon(): void {
    this.stop()
    this.#outer?.removeEventListener('abort', this.#onAbort)
    this.#controller.abort()
  }

  explain(url: string, cause: unknown): unknown {
    this.abandon()
    if (this.#outer?.aborted) return this.#outer.reason
    if (this.#expired) {
      return hostError('DOWNLOAD_TIMEOUT', `${url}: the server said nothing for ${this.#silenceMs / 1000} s: try again, or use another mirror`, cause)
    }
    return hostError('DOWNLOAD_FAILED', `${url}: ${rootMessage(cause)}: check the network, the proxy (HTTPS_PROXY) and the mirror`, cause)
  }
}

/** Fetch says only "fetch failed"; what failed is its cause. */
function rootMessage(error: unknown): string {
  let root = error
  while (root instanceof Error && root.cause instanceof Error) root = root.cause
  const { code, message } = root as { code?: string, message?: string }
  return message || code || String(root)
}
