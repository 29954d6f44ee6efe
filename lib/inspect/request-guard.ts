/** Which requests the server of an inspector answers. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type IncomingMessage } from 'node:http';

/** What a request may have. */
export type Resource = 'page' | 'events';

/** The answer to a request: a resource, or a status that refuses it. */
export type Verdict =
  | { readonly resource: Resource }
  | { readonly status: 301; readonly location: string }
  | { readonly status: 403 | 404 | 405 };

export interface Guard {
  readonly port: number;
  readonly token: string;
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Compares digests, which have one length, so that the time tells nothing about the token. */
function isToken(given: string, token: string): boolean {
  return timingSafeEqual(digest(given), digest(token));
}

/**
 * Judges a request.
 *
 * The names in `Host` are those of this machine's own loopback: a page of another site whose name was made to lead to 127.0.0.1 (DNS
 * rebinding) sends that site's name. The token is asked for before everything that would tell a request with the token from one
 * without it.
 */
export function judgeRequest(request: IncomingMessage, { port, token }: Guard): Verdict {
  const { headers, rawHeaders, url = '', method = '' } = request;
  const authorities = ['127.0.0.1', 'localhost'].flatMap((name) =>
    port === 80 ? [name, `${name}:80`] : [`${name}:${port}`],
  );
  const hosts = rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
  if (hosts.length !== 1 || !authorities.includes(headers.host ?? '')) return { status: 403 };
  // A browser says where a request comes from. No other page may ask, whatever it knows.
  const { origin } = headers;
  if (origin !== undefined && !authorities.some((name) => origin === `http://${name}`))
    return { status: 403 };
  const site = headers['sec-fetch-site'];
  const isForeign = site === 'cross-site' || site === 'same-site';
  if (isForeign && headers['sec-fetch-mode'] !== 'navigate') return { status: 403 };

  // Compared as it came: without decoding and without resolving `..`.
  const slash = url.indexOf('/', 1);
  const given = url.startsWith('/') ? url.slice(1, slash < 0 ? undefined : slash) : '';
  if (!isToken(given, token)) return { status: 404 };
  const rest = slash < 0 ? '' : url.slice(slash);
  const resources: Readonly<Record<string, Resource | undefined>> = { '/': 'page', '/events': 'events' };
  const resource = Object.hasOwn(resources, rest) ? resources[rest] : undefined;
  if (resource === undefined && rest !== '') return { status: 404 };
  if (method !== 'GET' && method !== 'HEAD') return { status: 405 };
  return resource === undefined ? { status: 301, location: `/${token}/` } : { resource };
}
