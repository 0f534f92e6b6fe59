/** The address at which this machine reaches a server of its own that listens on `host`. */
export function httpUrl(host: string, port: number, isSecure = false): string {
  const reached = host === '0.0.0.0' || host === '::' || host === '' ? '127.0.0.1' : host;
  return `${isSecure ? 'https' : 'http'}://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}
