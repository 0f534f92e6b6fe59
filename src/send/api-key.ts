import type { Dispatcher } from 'undici';

/**
 * Adds the API key in `AFTERWORD_API_KEY` to every request, if there is one. It is a setting of clients, and so not
 * among those of the fleet.
 */
export const withApiKey: Dispatcher.DispatcherComposeInterceptor = (dispatch) => {
  const key = process.env['AFTERWORD_API_KEY'];
  if (!key) return dispatch;
  return (options, handler) =>
    dispatch({ ...options, headers: { ...(options.headers as object), authorization: `Bearer ${key}` } }, handler);
};
