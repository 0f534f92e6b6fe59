/** Drivers put codes of their own over those of OpenSSL, and keep only its words. */
const words = /certificate|altnames/i;

/**
 * Why the certificate of a server was not accepted, and what to do: waiting does not help.
 * @returns null if the error is about something else.
 */
export function certificateProblem(error: unknown): string | null {
  const { message } = error as Error;
  if (!words.test(message)) return null;
  const [why] = message.split('. ', 1);
  return (
    `its certificate is not accepted (${why}): ` +
    'put the authority that signed it in CA_FILE, and use a host name that the certificate contains'
  );
}
